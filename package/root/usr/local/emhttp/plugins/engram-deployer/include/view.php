<?php
// What the settings page shows. Everything that is not written here is somebody else's text, a run's error for example: it
// goes through engram_text() on its way to the page, always.

const ENGRAM_PROGRAM = '/usr/local/sbin/engram-deployer';
const ENGRAM_RC = '/etc/rc.d/rc.engram-deployer';
const ENGRAM_SETTINGS = '/boot/config/plugins/engram-deployer/engram-deployer.cfg';
// What the last button or the last saving said.
const ENGRAM_SAID = '/run/engram-deployer.said';
const ENGRAM_SAID_SECONDS = 300;
const ENGRAM_RUNS_SHOWN = 10;

// Some text, as it looks in a page.
function engram_text($text): string
{
    return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5, 'UTF-8');
}

// The settings of a file as the daemon reads them; null when it has a line that the daemon refuses, and that would be lost,
// or come to mean something.
function engram_settings(string $file = ENGRAM_SETTINGS): ?array
{
    if (!is_file($file)) {
        $file = dirname(__DIR__) . '/default.cfg';
    }
    $text = @file_get_contents($file);
    if ($text === false || preg_match('//u', $text) !== 1) {
        return null;
    }
    $settings = [];
    foreach (explode("\n", preg_replace('/^\xef\xbb\xbf/', '', $text)) as $line) {
        $line = trim(preg_replace('/\r$/', '', $line), " \t");
        if ($line === '' || $line[0] === '#' || $line[0] === ';') {
            continue;
        }
        // A value in quotes of one kind without another of that kind in it; or one without quotes, which neither has what
        // looks like a comment in it nor ends as if it went on in the next line.
        $plain = '(?!.*[ \t]#)[^"\'].*(?<!\\\\)';
        $form = '/^(?:export [ \t]*)?([A-Za-z_]\w*)=[ \t]*+(?|"([^"]*)"|\'([^\']*)\'|(' . $plain . '|))$/D';
        $control = preg_match('/[^\P{Cc}\t]/u', $line) === 1;
        if ($control || preg_match($form, $line, $found) !== 1 || isset($settings[$found[1]])) {
            return null;
        }
        $settings[$found[1]] = $found[2];
    }
    return $settings;
}

// What the plugin itself sets, and what a setting is when it is left empty. Nobody need be told.
function engram_presets(): array
{
    static $presets = null;
    if ($presets === null) {
        $presets = engram_settings(dirname(__DIR__) . '/default.cfg') ?? [];
        unset($presets['DEPLOYER_NOTIFY_COMMAND']);
    }
    return $presets;
}

// What a program of ours says, by lines, and its exit status. The words are ours, but each is quoted all the same.
function engram_says(string ...$words): array
{
    $lines = [];
    $status = 127;
    exec(implode(' ', array_map('escapeshellarg', $words)) . ' </dev/null 2>&1', $lines, $status);
    return [$lines, $status];
}

// The document of GET /runs, which everyone may read.
function engram_runs(array $settings): array
{
    $runtime = ($settings['DEPLOYER_RUNTIME_DIR'] ?? '') ?: '/run/engram-deployer';
    $runs = json_decode((string) @file_get_contents("$runtime/public/runs.json"), true);
    return is_array($runs) ? $runs : [];
}

// A member of a run, if it is a text or a number: what else may stand there is not for show.
function engram_member($run, string $name): string
{
    $value = is_array($run) ? ($run[$name] ?? '') : '';
    return is_string($value) || is_int($value) ? (string) $value : '';
}

function engram_time(string $time): string
{
    $seconds = strtotime($time);
    return $seconds === false ? $time : date('Y-m-d H:i:s', $seconds);
}

// What the last button or the last saving said, for as long as it is news: the frame that Unraid shows it in goes away at
// once, and the page is loaded anew.
function engram_said(): string
{
    $age = time() - (int) @filemtime(ENGRAM_SAID);
    $said = $age >= 0 && $age < ENGRAM_SAID_SECONDS ? trim((string) @file_get_contents(ENGRAM_SAID)) : '';
    $said = str_replace('engram-deployer: ', '', $said);
    return $said === '' ? '' : '<dl><dt>At ' . date('H:i:s', time() - $age) . ':</dt><dd class="engram-said">'
        . nl2br(engram_text($said)) . '</dd></dl>';
}

// Who asked for it: a user of this host, or whoever the token named.
function engram_origin($run): string
{
    $origin = is_array($run) ? ($run['origin'] ?? []) : [];
    if (engram_member($origin, 'from') === 'local') {
        return engram_member($origin, 'user') . ' on this server';
    }
    $who = engram_member($origin, 'actor') ?: engram_member($origin, 'user_login') ?: 'a token';
    $place = engram_member($origin, 'repository') ?: engram_member($origin, 'project_path');
    return $place === '' ? $who : "$who of $place";
}

function engram_what($run): string
{
    $what = engram_member($run, 'version') ?: substr(engram_member($run, 'sha'), 0, 12);
    $module = engram_member($run, 'module');
    $dry = ($run['dry_run'] ?? false) === true ? ' (dry run)' : '';
    return trim(engram_member($run, 'endpoint') . " $what $module") . $dry;
}

// One row of the table; $colour is one of Unraid's own classes.
function engram_row(string $colour, string $state, string $time, $run, string $more): string
{
    $cells = [engram_time($time), engram_what($run), engram_origin($run), $more];
    $cells = array_map(fn($cell) => '<td>' . engram_text($cell) . '</td>', $cells);
    $id = engram_text(engram_member($run, 'run_id'));
    return "<tr title=\"$id\"><td class=\"$colour\">" . engram_text($state) . '</td>' . implode('', $cells) . '</tr>';
}

// The runs at work, those that wait, and the last ones.
function engram_rows(array $document): string
{
    $rows = '';
    if (is_array($document['running'] ?? null)) {
        $run = $document['running'];
        $rows .= engram_row('orange-text', 'running', engram_member($run, 'started_at'), $run, '');
    }
    foreach ((array) ($document['queued'] ?? []) as $run) {
        $rows .= engram_row('', 'waiting', engram_member($run, 'accepted_at'), $run, '');
    }
    foreach (array_slice((array) ($document['runs'] ?? []), 0, ENGRAM_RUNS_SHOWN) as $run) {
        $ok = engram_member($run, 'status') === 'ok';
        $took = round((int) engram_member($run, 'duration_ms') / 1000, 1) . ' s';
        $more = $ok ? $took : "$took: " . engram_member($run, 'error');
        $state = $ok ? 'ok' : 'failed';
        $rows .= engram_row($ok ? 'green-text' : 'red-text', $state, engram_member($run, 'finished_at'), $run, $more);
    }
    return $rows ?: '<tr><td colspan="5">no run since the server was started</td></tr>';
}

// What changes while one looks: whether the daemon runs, and the runs.
function engram_state(): string
{
    [$lines, $status] = engram_says(ENGRAM_RC, 'status');
    $runs = $status === 0;
    $said = str_replace('engram-deployer: ', '', $lines[0] ?? 'does not say');
    $colour = $runs ? 'green-text' : 'red-text';
    return "<dl><dt>Daemon:</dt><dd><span class=\"$colour\">" . engram_text($said) . '</span></dd></dl>'
        . engram_said()
        . '<div class="TableContainer"><table class="unraid engram-runs"><thead><tr><th>State</th><th>Time</th><th>Run</th>'
        . '<th>Asked for by</th><th>Result</th></tr></thead><tbody>'
        . engram_rows(engram_runs(engram_settings() ?? [])) . '</tbody></table></div>';
}

// The certificate's pins, a line each.
function engram_pins(): string
{
    [$lines, $status] = engram_says(ENGRAM_PROGRAM, 'pin', '--env-file', ENGRAM_SETTINGS);
    $html = '';
    foreach ($lines as $line) {
        [$name, $pin] = $status === 0 ? array_pad(preg_split('/:\s+/', $line, 2), 2, '') : ['No pins', $line];
        if ($name !== 'the same, plain') {
            $html .= '<dl><dt>' . engram_text(ucfirst($name)) . ':</dt><dd><span class="engram-pin">' . engram_text($pin)
                . '</span></dd></dl>';
        }
    }
    return $html;
}

// What one setting is edited with.
function engram_input(string $name, array $field, string $value): string
{
    [, $default, , $kind] = array_pad($field, 4, '');
    $default = engram_presets()["DEPLOYER_$name"] ?? $default;
    $name = engram_text("DEPLOYER_$name");
    if ($kind === '*') {
        // What it is now is not shown, so nothing means: as it is.
        $now = $value === '' ? 'not set' : 'set; leave this empty to keep it';
        $forget = $value === '' ? '' : " <label><input type=\"checkbox\" name=\"#forget[]\" value=\"$name\"> forget it</label>";
        return "<input type=\"password\" name=\"$name\" value=\"\" autocomplete=\"new-password\" placeholder=\"$now\">$forget";
    }
    if ($kind === '') {
        return "<input type=\"text\" name=\"$name\" value=\"" . engram_text($value) . '" placeholder="'
            . engram_text($default) . '" spellcheck="false" autocomplete="off">';
    }
    $choices = explode(',', $kind);
    $options = '<option value="">' . engram_text("default ($default)") . '</option>';
    // One that the daemon will refuse stays, or saving the page would change it unseen.
    foreach (array_unique(array_filter(array_merge($choices, [$value]), 'strlen')) as $choice) {
        $selected = $choice === $value ? ' selected' : '';
        $options .= '<option value="' . engram_text($choice) . "\"$selected>" . engram_text($choice) . '</option>';
    }
    return "<select name=\"$name\">$options</select>";
}

// A setting in the form of Unraid's pages: a label, an input, and help that is shown when the label is clicked.
function engram_setting(string $name, array $field, string $value): string
{
    // Help that begins with one of the choices has it as it is to be written.
    $help = ($field[3] ?? '') === '' ? ucfirst($field[2]) : $field[2];
    return '<dl><dt title="DEPLOYER_' . engram_text($name) . '">' . engram_text($field[0]) . ':</dt><dd>'
        . engram_input($name, $field, $value) . '</dd></dl>'
        . '<blockquote class="inline_help"><p>' . engram_text($help) . '. <code>DEPLOYER_'
        . engram_text($name) . '</code></p></blockquote>';
}
