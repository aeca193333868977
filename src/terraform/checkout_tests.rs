//! Against real repositories, served by git itself.

use super::bench::git_server::{self, Manners, Repository};
use super::bench::{Bench, TOKEN, basic, is_old, wants_token};
use super::*;
use std::time::Instant;

#[test]
fn a_commit_by_its_id_is_files_and_no_repository() {
    let (mut bench, ids) = Bench::with_history("files");
    for http in [false, true] {
        if http {
            bench.served(Manners::default());
        }
        for (id, trust, text) in [
            (&ids[2], Job::TfApply, "# 3\n"),
            (&ids[0], Job::TfApply, "# 1\n"),
            (&ids[3], Job::TfPlan, "# side\n"),
        ] {
            let (done, lines) = bench.fetch(Some(id), trust, None);
            let done = done.unwrap();
            assert_eq!(
                (done.commit.to_string(), done.folder),
                (id.clone(), "envs/prod".into())
            );
            assert_eq!(
                fs::read_to_string(bench.checkout().join("envs/prod/main.tf")).unwrap(),
                text
            );
            let names: Vec<_> = fs::read_dir(bench.checkout())
                .unwrap()
                .flatten()
                .map(|e| e.file_name())
                .collect();
            assert_eq!(names, ["envs"]);
            let url = &bench.config.terraform.as_ref().unwrap().repo_url;
            assert_eq!(
                lines,
                [
                    format!("fetching {} of {url}", &id[..7]),
                    format!("checked out {}", &id[..7])
                ]
            );
        }
    }
}

#[test]
fn without_an_id_it_is_the_pinned_references_commit() {
    let (bench, ids) = Bench::with_history("tip");
    let (done, _) = bench.fetch(None, Job::TfApply, None);
    assert_eq!(done.unwrap().commit.to_string(), ids[2]);
}

#[test]
fn what_was_not_merged_is_not_applied() {
    let (mut bench, ids) = Bench::with_history("merged");
    for http in [false, true] {
        if http {
            bench.served(Manners::default());
        }
        let error = bench.refusal(&ids[3], Job::TfApply, None);
        assert!(
            error.contains("neither the commit of refs/heads/main nor one of its ancestors"),
            "{error}"
        );
        assert!(
            !bench.checkout().join("envs").exists(),
            "a file of it was written"
        );
    }
    // Nor a commit that no reference has any more, as a fork's or after a force-push.
    bench.repository.run(&["update-ref", "-d", "refs/heads/side"]);
    let error = bench.refusal(&ids[3], Job::TfApply, None);
    assert!(error.contains("ancestors"), "{error}");
    // Nor a later one than the reference's.
    bench.repository.run(&["update-ref", "refs/heads/main", &ids[1]]);
    let error = bench.refusal(&ids[2], Job::TfApply, None);
    assert!(error.contains("ancestors"), "{error}");
}

#[test]
fn a_merged_side_branch_is_an_ancestor() {
    let (bench, ids) = Bench::with_history("merge");
    let tree = bench.repository.run(&["rev-parse", "main^{tree}"]);
    let merge = bench.repository.run(&[
        "commit-tree",
        "-m",
        "x",
        "-p",
        &ids[2],
        "-p",
        &ids[3],
        tree.trim(),
    ]);
    bench
        .repository
        .run(&["update-ref", "refs/heads/main", merge.trim()]);
    for id in [&ids[3], &ids[1], &merge.trim().to_owned()] {
        bench.fetch(Some(id), Job::TfApply, None).0.unwrap();
    }
}

#[test]
fn an_unknown_commit_or_reference_is_told_as_such() {
    let (mut bench, ids) = Bench::with_history("unknown");
    let unknown = "1234567890123456789012345678901234567890";
    for http in [false, true] {
        if http {
            bench.served(Manners::default());
        }
        let error = bench.refusal(unknown, Job::TfPlan, None);
        assert!(
            error.starts_with(&format!("fetch {unknown} of ")) && error.contains("no such commit"),
            "{error}"
        );
    }
    bench.settings().reference = "refs/heads/nope".into();
    let error = bench.refusal(&ids[2], Job::TfApply, None);
    assert!(error.contains("no such reference"), "{error}");
}

#[test]
fn a_token_opens_the_repository_and_is_seen_by_nobody() {
    let (mut bench, ids) = Bench::with_history("token");
    let server = bench.served(wants_token());
    let notes = bench.note_calls();
    for id in [&ids[0], &ids[2]] {
        let (done, lines) = bench.fetch(Some(id), Job::TfApply, Some(TOKEN));
        done.unwrap();
        assert!(!format!("{lines:?}").contains(TOKEN));
    }
    assert!(
        server
            .seen()
            .iter()
            .any(|seen| seen.authorization == basic(TOKEN))
    );
    let notes = fs::read_to_string(notes).unwrap();
    let pair = basic(TOKEN).unwrap();
    assert!(
        !notes.contains(TOKEN) && !notes.contains(&pair["Basic ".len()..]),
        "{notes}"
    );
    // All that git's children were given.
    let variables = [
        "GIT_", "HOME=", "LC_ALL=", "PATH=", "PWD=", "SHLVL=", "OLDPWD=", "_=",
    ];
    let given = notes.lines().filter(|line| {
        line.split('=')
            .next()
            .unwrap()
            .chars()
            .all(|c| c.is_ascii_uppercase() || c == '_')
    });
    for line in given.filter(|line| line.contains('=')) {
        assert!(variables.iter().any(|name| line.starts_with(name)), "{line}");
    }
    assert!(!notes.contains("GIT_TRACE") && notes.contains("GIT_CONFIG_GLOBAL=/dev/null"));
}

#[test]
fn a_token_that_is_refused_or_missing_is_told_as_such() {
    let (mut bench, ids) = Bench::with_history("refused");
    let server = bench.served(wants_token());
    for token in [None, Some("another")] {
        let error = bench.refusal(&ids[2], Job::TfPlan, token);
        assert!(error.contains("refuses the credentials"), "{error}");
    }
    server.behave(Manners {
        fails_with: Some(403),
        ..Manners::default()
    });
    let error = bench.refusal(&ids[2], Job::TfPlan, Some(TOKEN));
    assert!(error.contains("refuses the credentials"), "{error}");
    for (status, words) in [(404, "no such repository"), (502, "in trouble")] {
        server.behave(Manners {
            fails_with: Some(status),
            ..Manners::default()
        });
        let error = bench.refusal(&ids[2], Job::TfPlan, Some(TOKEN));
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_as_the_network() {
    let (mut bench, ids) = Bench::with_history("network");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    bench.settings().repo_url = format!("http://127.0.0.1:{port}/infra.git");
    let error = bench.refusal(&ids[2], Job::TfPlan, None);
    assert!(error.contains("could not be reached"), "{error}");
}

#[test]
fn an_old_server_gives_what_the_reference_has_and_nothing_else() {
    let (mut bench, ids) = Bench::with_history("old");
    bench.served(is_old());
    let (done, lines) = bench.fetch(Some(&ids[0]), Job::TfApply, None);
    done.unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("fetching all of refs/heads/main instead")),
        "{lines:?}"
    );
    assert_eq!(
        fs::read_to_string(bench.checkout().join("envs/prod/main.tf")).unwrap(),
        "# 1\n"
    );
    bench.repository.run(&["update-ref", "-d", "refs/heads/side"]);
    for trust in [Job::TfPlan, Job::TfApply] {
        let error = bench.refusal(&ids[3], trust, None);
        assert!(error.contains("the history of refs/heads/main of "), "{error}");
    }
}

#[test]
fn a_server_without_filters_sends_more_and_it_is_said() {
    let (mut bench, ids) = Bench::with_history("filters");
    bench.served(Manners::default());
    bench
        .repository
        .run(&["config", "uploadpack.allowFilter", "false"]);
    let (done, lines) = bench.fetch(Some(&ids[0]), Job::TfApply, None);
    done.unwrap();
    assert!(
        lines.iter().any(|line| line.contains("filtering not recognized")),
        "{lines:?}"
    );
    let error = bench.refusal(&ids[3], Job::TfApply, None);
    assert!(error.contains("ancestors"), "{error}");
}

#[test]
fn a_repository_of_somebody_elses_can_be_planned_from_its_file_address() {
    let (bench, ids) = Bench::with_history("owner");
    let mut folders = vec![bench.repository.path().to_owned()];
    while let Some(folder) = folders.pop() {
        std::os::unix::fs::chown(&folder, Some(65523), Some(65523)).unwrap();
        let below = fs::read_dir(&folder).unwrap().flatten();
        folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    bench.fetch(Some(&ids[0]), Job::TfApply, None).0.unwrap();
}

#[test]
fn few_requests_are_made() {
    let (mut bench, ids) = Bench::with_history("requests");
    let server = bench.served(wants_token());
    let mut before = 0;
    let mut made = |id: &str, trust| {
        bench.fetch(Some(id), trust, Some(TOKEN)).0.unwrap();
        let all = server.seen();
        let made = all[before..]
            .iter()
            .map(|seen| seen.method.clone())
            .collect::<Vec<_>>();
        before = all.len();
        made
    };
    let plan = made(&ids[3], Job::TfPlan);
    let apply = made(&ids[2], Job::TfApply);
    println!("requests of a plan: {plan:?}; of an apply: {apply:?}");
    assert_eq!(
        plan.iter().filter(|method| *method == "POST").count(),
        1,
        "{plan:?}"
    );
    assert_eq!(
        apply.iter().filter(|method| *method == "POST").count(),
        2,
        "{apply:?}"
    );
}

/// 5,000 commits and 80 MB, as a repository that has grown for years.
fn grown(repository: &Repository) -> String {
    let mut told = Vec::new();
    let mut noise: u64 = 7;
    let mut bytes = |count: usize| {
        (0..count)
            .map(|_| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            })
            .collect::<Vec<u8>>()
    };
    for number in 0..5000 {
        let head = format!(
            "commit refs/heads/main\ncommitter a <a@example.com> {} +0000\ndata 1\nx\n",
            1_700_000_000 + number
        );
        told.extend(head.bytes());
        let file = format!("M 100644 inline envs/prod/f{}.tf\ndata 16384\n", number % 500);
        told.extend(file.bytes());
        told.extend(bytes(16384));
        told.push(b'\n');
    }
    repository.import(&told);
    repository.tip("main")
}

#[test]
fn one_commit_of_a_grown_repository_costs_less_than_half_of_a_clone() {
    let mut bench = Bench::new("grown");
    let id = grown(&bench.repository);
    bench.served(wants_token());
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let root = bench.scratch.0.state.parent().unwrap().to_owned();
        let started = Instant::now();
        let url = bench.config.terraform.as_ref().unwrap().repo_url.clone();
        let header = format!("http.extraHeader=Authorization: {}", basic(TOKEN).unwrap());
        let cloned = git_server::git(&root)
            .args(["-c", &header, "clone", "--quiet", &url, "clone"])
            .status()
            .unwrap();
        assert!(cloned.success());
        let by_hand = started.elapsed();
        fs::remove_dir_all(root.join("clone")).unwrap();
        let started = Instant::now();
        bench.fetch(Some(&id), Job::TfApply, Some(TOKEN)).0.unwrap();
        let ours = started.elapsed();
        println!("clone and checkout by hand {by_hand:.2?}, ours {ours:.2?}");
        ratios.push(ours.as_secs_f64() / by_hand.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("{:.2} of a clone", ratios[1]);
    assert!(ratios[1] <= 0.5, "{ratios:?}");
}
