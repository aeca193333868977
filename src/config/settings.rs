//! (to come)
/// x
pub struct Settings;
/// x
pub struct SettingsError;
