<?php
// The part of the settings page that changes while one looks. It reads, and changes nothing.
require_once __DIR__ . '/view.php';
header('Content-Type: text/html; charset=utf-8');
header('Cache-Control: no-store');
echo engram_state();
