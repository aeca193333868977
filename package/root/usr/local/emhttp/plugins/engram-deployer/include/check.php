<?php
// What `engram-deployer check` says, as plain text: it may take some seconds, so the page asks for it afterwards. It reads,
// and changes nothing but what the daemon itself would make. As soon as the settings make sense that is the memory of used
// tokens, which takes none from before or from the next half a minute; so `init` is not asked for here, it would come late.
require_once __DIR__ . '/view.php';
header('Content-Type: text/plain; charset=utf-8');
header('X-Content-Type-Options: nosniff');
header('Cache-Control: no-store');
[$lines, $status] = engram_says(ENGRAM_RC, 'places');
if ($status !== 0) {
    // It would make folders where the array is to be.
    exit('ERROR  places: ' . str_replace('engram-deployer: ', '', implode("\n", $lines)) . "\n");
}
[$lines] = engram_says('timeout', '60', ENGRAM_PROGRAM, 'check', '--env-file', ENGRAM_SETTINGS);
echo implode("\n", $lines), "\n";
