//! [canary] The key to the state is in terraform's environment and nowhere else; a token of a caller, the content of a plan,
//! the key of the GitHub App, what it signs and what it gets for that are nowhere at all.
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
use crate::support::folder::files_below;
use crate::support::terraform::forge::{self, Forge};
use crate::support::terraform::notes::Notes;
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;
use crate::support::unique;

/// A value that terraform knows to be a secret: it is in the plan file and in the state, and is never shown.
const PLANNED: &str = "canary-planned-Jx7Qm2VhR9tB4wLs";

/// How everything begins that an app signs for itself: its header.
const APP_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.";

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

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// What was seen of all processes.
#[derive(Default)]
struct Seen {
    /// Those that were given one of the words.
    given: BTreeSet<String>,
    /// Whether the one was among them that speaks with the git server, which waits for that.
    a_transport: Arc<AtomicBool>,
}

/// Looks at every process until it is asked what it saw.
struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(words: Vec<String>, server: &str, a_transport: &Arc<AtomicBool>) -> Watch {
        let seen = Seen {
            a_transport: Arc::clone(a_transport),
            ..Seen::default()
        };
        let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(seen)));
        let server = server.to_owned();
        let (ending, noting): (_, Arc<Mutex<Seen>>) = (Arc::clone(&over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                look(&words, &server, &mut noting.lock().expect("what was seen"));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Watch {
            over,
            seen,
            thread: Some(thread),
        }
    }

    fn seen(mut self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("it ends");
        std::mem::take(&mut self.seen.lock().expect("what was seen"))
    }
}

/// Notes processes that were given one of the words, but for those that must have it: the caller its token, terraform and
/// what it starts the key, which is the first one.
fn look(words: &[String], server: &str, seen: &mut Seen) {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    for process in processes.map(|entry| entry.path()) {
        let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let is_caller = arguments.starts_with(b"curl\0");
        let is_terraform = holds(&environment, "TF_DATA_DIR=");
        let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if command.contains("remote-http") && command.contains(server) {
            seen.a_transport.store(true, Ordering::Relaxed);
        }
        for (index, word) in words.iter().enumerate() {
            if holds(&arguments, word) && !is_caller {
                seen.given.insert(format!("argument of {command}"));
            }
            if holds(&environment, word) && !(is_terraform && index == 0) {
                seen.given.insert(format!("environment of {command}"));
            }
        }
    }
}

/// Files beneath `folder` that hold one of the words, but for the settings that the key comes from.
fn found_below(folder: &Path, words: &[String]) -> Vec<PathBuf> {
    let mut found = files_below(folder, |content| words.iter().any(|word| holds(content, word)));
    found.retain(|path| !path.ends_with("settings.env"));
    found
}

/// A daemon that is a GitHub App, and tools that tell what they are given.
struct Scene {
    site: Site,
    forge: Forge,
    notes: Notes,
    /// To the state: another one for each scene, since those of other tests keep theirs in their environment.
    key: String,
}

impl Scene {
    fn new() -> Scene {
        let (notes, mut forge) = (Notes::new(), None);
        let key = format!("canary-key-{}", unique("key"));
        let site = Site::with(|setup| {
            setup.set("DEPLOYER_TF_BINARY_PATH", notes.terraform());
            setup.set("DEPLOYER_TF_GIT_BINARY_PATH", notes.git());
            setup.set("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", &key);
            forge = Some(Forge::before(setup));
            setup.use_env_file();
        });
        let forge = forge.expect("a forge");
        Scene {
            site,
            forge,
            notes,
            key,
        }
    }

    /// What nobody may be shown; the first one is for terraform.
    fn words(&self, token: &str) -> Vec<String> {
        let of_forge = self.forge.api.next();
        let encoded = forge::authorization(&of_forge).replace("Basic ", "");
        let pem = forge::key().lines().filter(|line| !line.starts_with("-----"));
        let words = [&self.key, PLANNED, token, &of_forge, &encoded, APP_TOKEN];
        words.into_iter().chain(pem).map(str::to_owned).collect()
    }

    /// Sends a request and fails when anything that it leads to shows one of the words; the answer.
    #[track_caller]
    fn ask(&self, path: &str, token: &str, sha: &str) -> Answer {
        let mut words = self.words(token);
        let a_transport = Arc::default();
        self.forge.wants_the_next_until(&a_transport);
        let watch = Watch::start(words.clone(), self.forge.server.url(), &a_transport);
        let body = json!({"sha": sha}).to_string();
        let answer = self.site.deployer.client().post(path, token, &body);
        answer.assert_ok();
        let api = &self.forge.api;
        assert_eq!((api.given(), api.given().len()), (api.revoked(), 1));
        let app_tokens = api.app_tokens();
        assert!(app_tokens[0].starts_with(APP_TOKEN), "{app_tokens:?}");
        words.extend(app_tokens);
        let seen = watch.seen();
        assert!(
            a_transport.load(Ordering::Relaxed),
            "nobody was seen who speaks with the git server"
        );
        assert_eq!(seen.given, BTreeSet::new());
        self.assert_unseen(&answer, &words);
        self.assert_given_little(&words);
        answer
    }

    /// Nothing that was said or left holds one of the words.
    #[track_caller]
    fn assert_unseen(&self, answer: &Answer, words: &[String]) {
        let client = self.site.deployer.client();
        let mut said = vec![answer.body()];
        for path in ["/status", "/tf-plan/status", "/tf-apply/status", "/runs"] {
            said.push(client.get(path).body());
        }
        for word in words {
            for text in &said {
                assert!(!text.contains(word.as_str()), "{word} in {text}");
            }
        }
        let folder = self.site.deployer.folder().path();
        assert_eq!(found_below(folder, words), Vec::<PathBuf>::new());
    }

    /// What the two tools were given, by their own notes.
    #[track_caller]
    fn assert_given_little(&self, words: &[String]) {
        let (gits, terraforms) = (self.notes.of("git"), self.notes.of("terraform"));
        assert!(
            gits.len() >= 4 && terraforms.len() >= 3,
            "{gits:#?} {terraforms:#?}"
        );
        assert!(
            gits.iter().any(|given| given.contains("repository [core]")),
            "git has looked at its repository: {gits:#?}"
        );
        for given in &gits {
            let ours = given.contains("variable AWS_") || given.contains("variable DEPLOYER_");
            assert!(!ours, "{given}");
        }
        for given in &terraforms {
            assert!(!given.contains("\nrepository "), "{given}");
            let variables = given.lines().filter_map(|line| line.strip_prefix("variable "));
            let names = variables.filter_map(|variable| Some(variable.split_once('=')?.0));
            let more: Vec<&str> = names.filter(|name| !OF_TERRAFORM.contains(name)).collect();
            assert!(more.is_empty(), "terraform was given {more:?} besides");
        }
        // All but the first, which terraform has.
        for (word, given) in words[1..]
            .iter()
            .flat_map(|word| gits.iter().chain(&terraforms).map(move |given| (word, given)))
        {
            assert!(!given.contains(word.as_str()), "{word} in {given}");
        }
        assert!(!gits.iter().any(|given| given.contains(&words[0])), "{gits:#?}");
    }
}

/// Everything that an apply is made of: terraform's secret, a step that would show its key, and one that looks at the plan.
fn body(book: &Path) -> String {
    let looks = format!(
        "find $TF_DATA_DIR/.. -name '*.bin' -exec stat -c '%a' {} + >> {}",
        "{}",
        book.display()
    );
    hcl::sensitive("password", PLANNED)
        + &hcl::making("leak", "echo the key is $AWS_SECRET_ACCESS_KEY", "")
        + &hcl::making("look", &looks, "leak")
}

#[test]
fn an_apply_shows_its_keys_its_caller_and_its_plan_to_nobody() {
    let scene = Scene::new();
    let book = scene.site.deployer.folder().write("modes", "");
    let sha = scene.site.commit(&body(&book));
    let token = scene.site.apply_token(&sha);
    let answer = scene.ask("/tf-apply", &token, &sha);
    let said = lines_of(&answer, "tf_apply").join("\n");
    assert!(said.contains("the key is ***"), "{said}");
    let modes = fs::read_to_string(book).expect("modes");
    assert_eq!(modes, "600\n", "of the one plan file");
}

#[test]
fn a_plan_shows_its_keys_its_caller_and_its_content_to_nobody() {
    let scene = Scene::new();
    scene.site.commit("");
    let body = hcl::sensitive("password", PLANNED)
        + "output \"arguments\" { value = file(\"/proc/self/cmdline\") }\n"
        + "output \"environment\" { value = file(\"/proc/self/environ\") }\n";
    let sha = scene.site.propose(&body);
    let token = scene.site.plan_token(&sha);
    let answer = scene.ask("/tf-plan", &token, &sha);
    let said = lines_of(&answer, "tf_plan").join("\n");
    assert!(
        said.contains("AWS_SECRET_ACCESS_KEY=***"),
        "the environment is shown: {said}"
    );
    for absent in ["DEPLOYER_", "DOCKER_HOST"] {
        assert!(!said.contains(absent), "{absent} in {said}");
    }
}
