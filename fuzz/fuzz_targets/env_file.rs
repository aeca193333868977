//! An environment file and the configuration made of it: settings survive being written again and handed over, every refusal
//! says why, and no text of a setting makes a reader of one panic.
#![no_main]

use engram_deployer::config::{Config, Settings, warnings};
use engram_deployer::limits::MAX_SETTINGS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let settings = match Settings::from_env_file(bytes) {
        Ok(settings) => settings,
        Err(errors) => {
            assert!(!errors.is_empty());
            return;
        }
    };
    let Ok(json) = settings.to_json() else {
        assert!(
            7 * bytes.len() > MAX_SETTINGS,
            "with every byte escaped it has room"
        );
        return;
    };
    let handed_over = Settings::from_json(&json).expect("its own writing");
    assert_eq!(handed_over.to_json().as_ref(), Ok(&json));

    let anew: String = settings.names().map(|name| line(name, &settings)).collect();
    if anew.len() <= MAX_SETTINGS {
        let again = Settings::from_env_file(anew.as_bytes()).expect("its own writing");
        assert!(settings.names().eq(again.names()));
        for name in settings.names() {
            assert_eq!(again.get(name), settings.get(name));
        }
    }

    let _ = warnings(&settings);
    match Config::from_settings(&settings) {
        Ok(config) => drop(config.advice()),
        Err(complaints) => {
            assert!(!complaints.is_empty());
            assert!(
                complaints
                    .iter()
                    .all(|complaint| !complaint.to_string().is_empty())
            );
        }
    }
});

fn line(name: &str, settings: &Settings) -> String {
    let value = settings.get(name).unwrap_or_default();
    match (value.contains('"'), value.contains('\'')) {
        (false, _) => format!("{name}=\"{value}\"\n"),
        (true, false) => format!("{name}='{value}'\n"),
        // With both, it was not in quotes.
        (true, true) => format!("{name}={value}\n"),
    }
}
