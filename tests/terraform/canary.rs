//! [canary] The key to the state is in terraform's environment and nowhere else; a token of a caller and the content of a
//! plan are nowhere at all.
//!
//! They are looked for in everything that a plan and an apply say and leave, in what git and terraform are given, and, all
//! the while, in the arguments and the environment of every process of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::lines_of;
use crate::support::curl::Answer;
use crate::support::deployer::Setup;
use crate::support::terraform::notes::Notes;
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;
use crate::support::unique;

/// A value that terraform knows to be a secret: it is in the plan file and in the state, and is never shown.
const PLANNED: &str = "canary-planned-Jx7Qm2VhR9tB4wLs";

/// What terraform may find in its environment.
const OF_TERRAFORM: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TF_IN_AUTOMATION",
    "TF_INPUT",
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_PLUGIN_CACHE_DIR",
    "CHECKPOINT_DISABLE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "DOCKER_HOST",
    "GIT_TERMINAL_PROMPT",
    "GIT_ALLOW_PROTOCOL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL",
];

/// The key to the state: another one for each site, since those of other tests keep theirs in their environment.
fn own_key(setup: &mut Setup) -> String {
    let key = format!("canary-key-{}", unique("key"));
    setup.set("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", &key);
    setup.use_env_file();
    key
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// Looks at every process until it is asked what it saw.
struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(words: Vec<String>) -> Watch {
        let (over, seen) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(BTreeSet::new())),
        );
        let (ending, noting) = (Arc::clone(&over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                noting.lock().expect("a set").extend(given_to_processes(&words));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Watch {
            over,
            seen,
            thread: Some(thread),
        }
    }

    fn seen(mut self) -> BTreeSet<String> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("it ends");
        std::mem::take(&mut self.seen.lock().expect("a set"))
    }
}

/// Processes that were given one of the words, but for those that must have it: the caller its token, terraform and what it
/// starts the key, which is the first one.
fn given_to_processes(words: &[String]) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let mut found = Vec::new();
    for process in processes.map(|entry| entry.path()) {
        let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let is_caller = arguments.starts_with(b"curl\0");
        let is_terraform = holds(&environment, "TF_DATA_DIR=");
        for (index, word) in words.iter().enumerate() {
            let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
            if holds(&arguments, word) && !is_caller {
                found.push(format!("argument of {command}"));
            }
            if holds(&environment, word) && !(is_terraform && index == 0) {
                found.push(format!("environment of {command}"));
            }
        }
    }
    found
}

/// Files beneath `folder` that hold one of the words, but for the settings that the key comes from.
fn found_below(folder: &Path, words: &[String]) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind of file"));
            match kind.is_dir() {
                true => folders.push(path),
                false if kind.is_file() => {
                    let content = fs::read(&path).unwrap_or_default();
                    if words.iter().any(|word| holds(&content, word)) {
                        found.push(path);
                    }
                }
                false => {}
            }
        }
    }
    found.retain(|path| !path.ends_with("settings.env"));
    found
}

/// Everything that an apply is made of: terraform's secret, a step that would show its key, and one that looks at the plan.
fn body(book: &Path) -> String {
    let looks = format!(
        "find $TF_DATA_DIR/.. -name '*.bin' -exec stat -c '%a' {{}} + >> {}",
        book.display()
    );
    hcl::sensitive("password", PLANNED)
        + &hcl::making("leak", "echo the key is $AWS_SECRET_ACCESS_KEY", "")
        + &hcl::making("look", &looks, "leak")
}

/// Nothing that was said or left holds one of the words.
#[track_caller]
fn assert_unseen(site: &Site, answers: &[Answer], words: &[String], watch: Watch) {
    let client = site.deployer.client();
    let mut said: Vec<String> = answers.iter().map(Answer::body).collect();
    for path in ["/status", "/tf-plan/status", "/tf-apply/status", "/runs"] {
        said.push(client.get(path).body());
    }
    for word in words {
        for text in &said {
            assert!(!text.contains(word.as_str()), "{word} in {text}");
        }
    }
    assert_eq!(
        found_below(site.deployer.folder().path(), words),
        Vec::<PathBuf>::new()
    );
    assert_eq!(watch.seen(), BTreeSet::new());
}

#[test]
fn an_apply_shows_its_key_its_caller_and_its_plan_to_nobody() {
    let (notes, mut key) = (Notes::new(), String::new());
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_BINARY_PATH", notes.terraform());
        setup.set("DEPLOYER_TF_GIT_BINARY_PATH", notes.git());
        key = own_key(setup);
    });
    let book = site.deployer.folder().write("modes", "");
    let sha = site.commit(&body(&book));
    let token = site.apply_token(&sha);
    let words = [&key, PLANNED, &token].map(str::to_owned).to_vec();
    let watch = Watch::start(words.clone());
    let ask = json!({"sha": sha}).to_string();
    let answer = site.deployer.client().post("/tf-apply", &token, &ask);
    answer.assert_ok();
    let said = lines_of(&answer, "tf_apply").join("\n");
    assert!(said.contains("the key is ***"), "{said}");
    assert_eq!(
        fs::read_to_string(book).expect("modes"),
        "600\n",
        "of the one plan file"
    );
    assert_unseen(&site, &[answer], &words, watch);
    assert_given_little(&notes);
}

/// What the two tools were given, by their own notes.
#[track_caller]
fn assert_given_little(notes: &Notes) {
    let (gits, terraforms) = (notes.of("git"), notes.of("terraform"));
    assert!(
        !gits.is_empty() && terraforms.len() >= 4,
        "init, plan, show, apply"
    );
    for given in &gits {
        assert!(
            !given.contains("variable AWS_") && !given.contains("variable DEPLOYER_"),
            "{given}"
        );
    }
    for given in &terraforms {
        let variables = given.lines().filter_map(|line| line.strip_prefix("variable "));
        let names = variables.filter_map(|variable| Some(variable.split_once('=')?.0));
        let more: Vec<&str> = names.filter(|name| !OF_TERRAFORM.contains(name)).collect();
        assert!(more.is_empty(), "terraform was given {more:?} besides");
    }
}

#[test]
fn a_plan_shows_its_key_its_caller_and_its_content_to_nobody() {
    let mut key = String::new();
    let site = Site::with(|setup| key = own_key(setup));
    site.commit("");
    let body = hcl::sensitive("password", PLANNED)
        + "output \"arguments\" { value = file(\"/proc/self/cmdline\") }\n"
        + "output \"environment\" { value = file(\"/proc/self/environ\") }\n";
    let sha = site.propose(&body);
    let token = site.plan_token(&sha);
    let words = [&key, PLANNED, &token].map(str::to_owned).to_vec();
    let watch = Watch::start(words.clone());
    let ask = json!({"sha": sha}).to_string();
    let answer = site.deployer.client().post("/tf-plan", &token, &ask);
    answer.assert_ok();
    let said = lines_of(&answer, "tf_plan").join("\n");
    assert!(
        said.contains("AWS_SECRET_ACCESS_KEY=***"),
        "the environment is shown: {said}"
    );
    for absent in ["DEPLOYER_", "DOCKER_HOST"] {
        assert!(!said.contains(absent), "{absent} in {said}");
    }
    assert_unseen(&site, &[answer], &words, watch);
}
