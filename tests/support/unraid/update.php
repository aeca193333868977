<?php
// Stands in for Unraid's update.php, with what is known of it: KEY="value" lines without escapes, written over what an ini
// reader found; `#include` before that, which can call it off; `#cleanup` leaves out what is empty; `#command` afterwards,
// below the document root, its output read to the end. Each line of that becomes a script's text between double quotes, with
// no other escapes than of those; `log:` begins it here. On a command line the form is JSON on standard input.
$docroot = '/usr/local/emhttp';
if (PHP_SAPI === 'cli') {
    $_POST = json_decode(stream_get_contents(STDIN), true);
}

function write_log($text)
{
    echo $text === '' ? '' : "log: $text\n";
}

if (isset($_POST['#file'])) {
    $file = '/boot/config/plugins/' . $_POST['#file'];
    $keys = is_file($file) ? (@parse_ini_file($file) ?: []) : [];
    $save = true;
    if (isset($_POST['#include'])) {
        include realpath("$docroot/{$_POST['#include']}");
    }
    if ($save) {
        foreach ($_POST as $key => $value) {
            if ($key[0] !== '#') {
                $keys[$key] = $value;
            }
        }
        $text = '';
        foreach ($keys as $key => $value) {
            if (strlen($value) > 0 || !isset($_POST['#cleanup'])) {
                $text .= "$key=\"$value\"\n";
            }
        }
        file_put_contents($file . getmypid(), $text);
        rename($file . getmypid(), $file);
    }
}
if (isset($_POST['#command'])) {
    $words = array_map('escapeshellarg', (array) ($_POST['#arg'] ?? []));
    $process = popen(escapeshellcmd(realpath("$docroot/{$_POST['#command']}")) . ' ' . implode(' ', $words), 'r');
    while (!feof($process)) {
        write_log((string) fgets($process));
    }
    pclose($process);
}
