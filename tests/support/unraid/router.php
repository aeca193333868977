<?php
// Stands in for Unraid's pages: renders the plugin's .page file as they do, in a frame that looks somewhat like theirs. For
// `php -S`, or for a command line, which gets the page alone. What a page uses of Unraid's is here: the text markup, the
// classes of its style sheets, done(), and the frame that forms are answered in, which has the page loaded anew when the
// answer is complete. As there, Apply can be pressed when something was changed, and quotes are sent with a backslash.
$docroot = '/usr/local/emhttp';
$plugin = "$docroot/plugins/engram-deployer";
$path = parse_url($_SERVER['REQUEST_URI'] ?? '/', PHP_URL_PATH);

function rendered(string $file): string
{
    [$header, $body] = explode("\n---\n", file_get_contents($file), 2);
    $page = parse_ini_string($header);
    if (($page['Markdown'] ?? '') !== 'false') {
        exit("this stand-in has no Markdown\n");
    }
    ob_start();
    eval('?>' . preg_replace('/_\((.+?)\)_/', '$1', $body));
    return ob_get_clean();
}

if (PHP_SAPI === 'cli') {
    echo rendered("$plugin/engram-deployer.page");
    return true;
}
if ($path === '/update.php') {
    require __DIR__ . '/update.php';
    echo '<script>parent.location.reload();</script>';
    return true;
}
if (preg_match('#^/plugins/engram-deployer/include/(state|check)\.php$#', $path, $found)) {
    require "$plugin/include/$found[1].php";
    return true;
}
if ($path !== '/') {
    http_response_code(404);
    return true;
}
?>
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Settings</title>
<style>
html { font-size: 62.5% }
body { font: 1.3rem/1.6 sans-serif; margin: 0; color: #1c1b1b; background: #f2f2f2 }
header { background: #1b1b1b; color: #fff; padding: 1.2rem 2rem; font-size: 1.6rem }
main { margin: 1rem 2rem; max-width: 1600px }
.title { border-bottom: 1px solid #c7c5cb; margin: 2.4rem 0 1rem; font-size: 1.6rem }
dl { margin: 0; padding: .4rem 0; display: flow-root } dt { width: 35%; float: left; clear: left; text-align: right; font-weight: normal; cursor: help }
dd { margin: 0 0 0 37% }
blockquote.inline_help { display: none; margin: .5rem 2rem; padding: .2rem 1.2rem; border-left: 3px solid #bce8f1; background: #d9edf7 }
body.help blockquote.inline_help { display: block }
table { border-collapse: collapse; width: 100%; background: #fff } th { background: #e8e8e8 } td, th { padding: .3rem .8rem } tr:nth-child(even) td { background: #f7f7f7 }
input, select, button { font: inherit; padding: .3rem .6rem } button, input[type=submit], input[type=button] { border: 1px solid #ff8c2f; background: none; color: #ff8c2f; text-transform: uppercase; font-weight: bold; padding: .6rem 1.4rem; margin-right: 1rem }
.green-text { color: #4f8a10 } .red-text { color: #f0000c } .orange-text { color: #e68a00 }
pre { background: #fff; padding: 1rem; font-size: 1.2rem } :disabled { opacity: .5 }
#progressFrame { position: fixed; bottom: 0; left: 0; width: 60%; height: 2.5rem; border: 0 }
@media (max-width: 767px) { dt { float: none; width: auto; text-align: left } dd { margin: 0 } .TableContainer { overflow-x: auto } }
</style>
<script>
function done() { history.back(); }
addEventListener('DOMContentLoaded', () => document.querySelectorAll('form').forEach(form => {
  const apply = form.querySelector('input[value="Apply"]');
  if (apply) {
    apply.disabled = true;
    form.addEventListener('input', () => { apply.disabled = false; });
  }
  form.addEventListener('submit', () => form.querySelectorAll('input[type=text]').forEach(input => {
    input.value = input.value.replace(/"/g, '\\"');
  }));
}));
</script></head>
<body class="<?= isset($_GET['help']) ? 'help' : '' ?>"><header>Tower &nbsp; Dashboard &nbsp; Main &nbsp; Shares &nbsp; <b>Settings</b> &nbsp; Plugins &nbsp; Docker</header>
<main><?= rendered("$plugin/engram-deployer.page") ?></main>
<iframe id="progressFrame" name="progressFrame"></iframe></body></html>
