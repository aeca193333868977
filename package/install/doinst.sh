#!/bin/sh
# Runs after the package's files are in place, in the root that they were put into: every path is relative to it. Makes
# what the host has of its own, once, and never fails: what is wrong with a host or its settings is no fault of a package.
plugin=usr/local/emhttp/plugins/engram-deployer
home=boot/config/plugins/engram-deployer

sh "$plugin/scripts/first-steps" "$plugin" "$home" usr/local/sbin/engram-deployer ||
    echo "engram-deployer: the first steps were not completed; 'engram-deployer check' says what is missing"
exit 0
