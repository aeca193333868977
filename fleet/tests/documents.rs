//! [documents] Help, manual, README, SECURITY.md and the module name the same flags, defaults and codes.
