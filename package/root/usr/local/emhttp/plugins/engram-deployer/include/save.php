<?php
// Runs within Unraid's update.php before it writes the settings (its `#include`): what it could not write so that the daemon
// reads the same is not saved. It writes KEY="value" without escapes, and reads the file back as an ini file.
// Asked for by itself it does nothing.
if (!isset($save, $_POST['#file'])) {
    return;
}
require_once __DIR__ . '/view.php';

// Why a value cannot stand in the file; null when it can.
function engram_unfit(string $value): ?string
{
    return match (true) {
        strlen($value) > 8192 => 'is too long',
        preg_match('//u', $value) !== 1 => 'is not UTF-8',
        preg_match('/\p{Cc}/u', $value) === 1 => 'has a control character in it',
        strpbrk($value, '"\\') !== false => 'has a quote or a backslash in it',
        str_contains($value, '${') => 'has ${ in it, which Unraid would replace',
        default => null,
    };
}

// Whether a folder is in the array's place while nothing is mounted there: the daemon takes up what is saved at once, and
// would make it in memory.
function engram_is_in_the_way(string $name, string $folder): bool
{
    return preg_match('/_((STATE|RUNS|RUNTIME)_DIR|WORKDIR)$/', $name) === 1
        && engram_says(ENGRAM_RC, 'at_hand', $folder)[1] !== 0;
}

// What is posted, without what is no setting of ours and without secrets that stay as they are; and what is wrong with it.
function engram_posted(array $posted, array $groups): array
{
    [$fields, $faults] = [array_merge(...array_values($groups)), []];
    $forget = (array) ($posted['#forget'] ?? []);
    foreach ($posted as $name => $value) {
        if ($name[0] === '#') {
            continue;
        }
        $field = str_starts_with($name, 'DEPLOYER_') ? ($fields[substr($name, 9)] ?? null) : null;
        if ($field === null || !is_string($value)) {
            unset($posted[$name]);
            continue;
        }
        $posted[$name] = $value = trim($value);
        if (($field[3] ?? '') === '*' && $value === '' && !in_array($name, $forget, true)) {
            unset($posted[$name]);
        } elseif (($unfit = engram_unfit($value)) !== null) {
            $faults[] = "$name $unfit";
        } elseif (engram_is_in_the_way($name, $value)) {
            $faults[] = "$name names a folder where nothing is mounted: start the array first";
        } elseif ($value === '') {
            $posted[$name] = engram_presets()[$name] ?? '';
        }
    }
    return [$posted, $faults];
}

[$_POST, $engram_faults] = engram_posted($_POST, require __DIR__ . '/fields.php');
// $keys is what update.php adds what was posted to, and writes: what the file holds, as the daemon reads it.
$keys = engram_settings();
if ($keys === null) {
    $keys = [];
    $engram_faults[] = ENGRAM_SETTINGS . ' has lines that make no sense: mend it by hand first';
}
foreach (array_diff_key($keys, $_POST) as $engram_name => $engram_value) {
    if (($engram_unfit = engram_unfit($engram_value)) !== null) {
        $engram_faults[] = "$engram_name, which is in the file, $engram_unfit: mend it by hand first";
    }
}
if ($engram_faults !== []) {
    $save = false;
    // Nothing was changed, so the daemon is not told of anything. The names and words are ours; no value is among them.
    unset($_POST['#command']);
    array_unshift($engram_faults, 'engram-deployer: nothing was saved');
    @file_put_contents(ENGRAM_SAID, implode("\n", $engram_faults) . "\n");
    array_map('write_log', $engram_faults);
}
