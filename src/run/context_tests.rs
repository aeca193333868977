use super::*;

use std::time::SystemTime;

use std::path::Path;

use crate::config::Places;
use crate::os::child::Exit;
use crate::os::process;
use crate::queue::folder::testing::Scratch;
use crate::queue::notes::{Notes, ToolAtWork};
use crate::queue::{EndPolicy, RunFolder, RunId};
use crate::run::{Ended, Tool};

impl RunContext<'static> {
    /// A stage for unit tests: its log is `<runs>/<id>/log.ndjson`. It hears no signals and has a minute.
    pub(crate) fn scratch(places: &Places) -> Self {
        let id = RunId::new(SystemTime::now()).unwrap();
        let folder = RunFolder::of(places, &id);
        std::fs::create_dir_all(folder.path()).unwrap();
        Self::new(
            Box::leak(Box::new(crate::queue::testing::config(places))),
            Box::leak(Box::new(Log::open(&folder.log(), &id))),
            Box::leak(Box::new(Interrupts::deaf().unwrap())),
            Box::leak(Box::new(crate::queue::notes::testing::hold(places, &id))),
            Duration::from_secs(60),
        )
    }

    /// As if the run had been asked to end.
    pub(crate) fn cancel(&mut self) {
        self.interrupts.ask_in(Duration::ZERO);
    }
}

fn shell(script: &str) -> Tool {
    Tool {
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..Tool::new("/bin/sh", Duration::from_secs(30))
    }
}

fn briefly(script: &str, end_policy: EndPolicy) -> Tool {
    let deadline = Duration::from_millis(150);
    Tool {
        deadline,
        end_policy,
        ..shell(script)
    }
}

/// A tool whose output is kept in a file.
fn uncut(script: &str) -> Tool {
    Tool {
        end_policy: EndPolicy::InterruptThenTerminate,
        ..shell(script)
    }
}

fn messages(ctx: &RunContext, places: &Places) -> Vec<String> {
    let folder = RunFolder::of(places, &ctx.ticket.file.id);
    let text = std::fs::read_to_string(folder.log()).unwrap();
    let event = |line: &str| serde_json::from_str::<crate::event::Event>(line).unwrap().message;
    text.lines().map(event).collect()
}

fn work(ctx: &RunContext) -> Vec<ToolAtWork> {
    Notes::of(Some(&ctx.ticket.file)).unwrap().tools
}

fn exited(end: Result<Ended, Failure>) -> Exit {
    end.unwrap().exit
}

/// Begins a step.
fn begin(ctx: &mut RunContext) -> Result {
    ctx.begin(Phase::Update, Duration::from_secs(60))
}

/// Begins a step that changes something.
fn change(ctx: &mut RunContext) -> Result {
    ctx.begin_change(Phase::Update, Duration::from_secs(60))
}

fn lives(marker: &Path) -> bool {
    let pid: i32 = std::fs::read_to_string(marker).unwrap().trim().parse().unwrap();
    process::living(None, Some(pid)).unwrap().contains(&pid)
}

#[test]
fn what_a_tool_prints_is_said_in_order_and_its_exit_is_told() {
    let scratch = Scratch::new("stage-tool");
    let mut ctx = RunContext::scratch(&scratch.0);
    let script = "echo out; echo err >&2; echo hidden; printf last; exit 3";
    let mut all = Vec::new();
    let end = ctx.tool(&shell(script), &mut |line| {
        all.push(line.to_owned());
        (line != "hidden").then(|| format!("said {line}"))
    });
    let ended = end.unwrap();
    assert_eq!(ended.exit, Exit::Code(3));
    assert_eq!(all, ["out", "err", "hidden", "last"]);
    assert_eq!(ended.tail, all);
    assert_eq!(messages(&ctx, &scratch.0), ["said out", "said err", "said last"]);
    assert_eq!(work(&ctx), vec![]);
}

#[test]
fn a_tool_that_leaves_a_process_with_its_output_behind_is_not_waited_for() {
    let scratch = Scratch::new("stage-left");
    let mut ctx = RunContext::scratch(&scratch.0);
    let started = Instant::now();
    let end = ctx.tool(&shell("sleep 20 & echo done"), &mut |_| None);
    assert_eq!(exited(end), Exit::Code(0));
    assert!(started.elapsed() < Duration::from_secs(5));
    let group = ctx.ticket.file.clone();
    drop(group);
}

#[test]
fn a_quiet_tool_is_captured_with_its_streams_apart() {
    let scratch = Scratch::new("stage-capture");
    let mut ctx = RunContext::scratch(&scratch.0);
    let tool = Tool {
        stdin: Some(b"given".to_vec()),
        ..shell("cat; echo why >&2; exit 1")
    };
    let Ended { exit, stdout, tail } = ctx.capture(&tool, 100).unwrap();
    assert_eq!(
        (exit, stdout.as_slice(), tail),
        (Exit::Code(1), &b"given"[..], vec!["why".to_owned()])
    );
    let error = ctx
        .capture(&shell("head -c 1000000 /dev/zero"), 1000)
        .unwrap_err();
    assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
}

#[test]
fn a_missing_program_is_a_sentence_and_leaves_no_trace_in_the_ticket() {
    let scratch = Scratch::new("stage-missing");
    let mut ctx = RunContext::scratch(&scratch.0);
    for program in ["/nowhere/at-all", "not-on-any-path"] {
        let tool = Tool {
            program: program.into(),
            ..shell("")
        };
        let error = ctx.tool(&tool, &mut |_| None).unwrap_err();
        assert!(error.to_string().contains(program), "{error}");
    }
    assert_eq!(work(&ctx), vec![]);
}

#[test]
fn a_tool_past_its_deadline_is_ended_with_its_whole_group() {
    let scratch = Scratch::new("stage-deadline");
    let mut ctx = RunContext::scratch(&scratch.0);
    let marker = scratch.0.state.join("pid");
    let script = format!(
        "sh -c 'trap \"\" HUP; echo $$; exec sleep 60' & echo $$ > {}; wait",
        marker.display()
    );
    let error = ctx
        .tool(&briefly(&script, EndPolicy::Terminate), &mut |_| None)
        .unwrap_err();
    assert_eq!(error.to_string(), "`sh` was not done within 150ms");
    let group: i32 = std::fs::read_to_string(&marker).unwrap().trim().parse().unwrap();
    assert_eq!(process::living(None, Some(group)).unwrap(), Vec::<i32>::new());
    assert_eq!(work(&ctx), vec![]);
}

#[test]
fn a_call_that_was_handed_to_dockerd_is_ended_by_force_alone() {
    let scratch = Scratch::new("stage-waitout");
    let mut ctx = RunContext::scratch(&scratch.0);
    ctx.cancel();
    ctx.run.until = Instant::now() + Duration::from_millis(200);
    let script = "echo begun; sleep 0.6; echo done";
    let mut say = |line: &str| Some(line.to_owned());
    let tool = briefly(script, EndPolicy::WaitOut);
    // Neither the time of tool and run nor a cancellation; that is said, and nothing is forgotten of what it printed.
    let end = ctx.in_any_case(Duration::from_secs(1), |ctx| ctx.tool(&tool, &mut say));
    assert_eq!(exited(end), Exit::Code(0));
    assert_eq!(
        messages(&ctx, &scratch.0),
        ["begun", "still waiting for `sh` (0ms)", "done"]
    );
    let marker = scratch.0.state.join("pid");
    let script = format!("echo $$ > {}; sleep 60", marker.display());
    ctx.interrupts.use_force();
    let tool = briefly(&script, EndPolicy::WaitOut);
    let error = ctx.in_any_case(Duration::from_secs(9), |ctx| ctx.capture(&tool, 100).unwrap_err());
    assert_eq!(
        error.to_string(),
        "`sh` was ended by force: whether it was done is not known"
    );
    assert!(ctx.interrupts.was_forced && work(&ctx).is_empty());
    // Each force ends one wait.
    let tool = briefly("sleep 0.3", EndPolicy::WaitOut);
    let end = ctx.in_any_case(Duration::from_secs(9), |ctx| ctx.tool(&tool, &mut |_| None));
    assert_eq!(exited(end), Exit::Code(0));
}

#[test]
fn a_tool_that_gets_on_is_not_ended_and_one_that_does_not_is() {
    let scratch = Scratch::new("stage-while");
    let mut ctx = RunContext::scratch(&scratch.0);
    let every = Duration::from_millis(200);
    let script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; sleep 0.5";
    let mut asked = 0;
    let end = ctx.tool_while(&shell(script), &mut |_| None, every, &mut |_| {
        asked += 1;
        true
    });
    assert_eq!(exited(end), Exit::Code(0));
    assert!(
        (1..=3).contains(&asked),
        "while there are lines nobody is asked: {asked}"
    );
    let begun = Instant::now();
    let error = ctx.tool_while(&shell("sleep 60"), &mut |_| None, every, &mut |_| false);
    assert_eq!(error.unwrap_err().to_string(), "`sh` has not got on for 200ms");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_tool_that_is_interrupted_gets_one_int_and_the_time_it_needs() {
    let scratch = Scratch::new("stage-interrupt");
    let mut ctx = RunContext::scratch(&scratch.0);
    let script = "trap 'echo interrupted; sleep 0.3; echo saved; exit 0' INT; echo ready; while :; do sleep 0.05; done";
    let mut seen = Vec::new();
    let end = ctx.tool(&briefly(script, EndPolicy::Interrupt), &mut |line| {
        seen.push(line.to_owned());
        None
    });
    assert!(matches!(end, Err(Failure::Deadline { .. })), "{end:?}");
    assert_eq!(seen, ["ready", "interrupted", "saved"]);
}

#[test]
fn a_tool_that_changes_things_is_interrupted_once_when_the_run_is_cancelled() {
    let scratch = Scratch::new("stage-interrupt-once");
    let mut ctx = RunContext::scratch(&scratch.0);
    change(&mut ctx).unwrap();
    let script =
        "trap 'n=x$n; echo interrupted $n' INT; for i in 1 2 3 4 5 6; do sleep 0.1; done; echo saved";
    ctx.interrupts.ask_in(Duration::from_millis(150));
    let tool = Tool {
        end_policy: EndPolicy::Interrupt,
        ..shell(script)
    };
    let end = ctx.tool(&tool, &mut |line| Some(line.to_owned()));
    assert_eq!(end.unwrap_err(), Failure::Cancelled);
    let said = messages(&ctx, &scratch.0);
    assert_eq!(said[1..], ["interrupted x", "saved"], "{said:?}");
    assert!(!ctx.folder.output().exists());
}

#[test]
fn what_a_tool_leaves_in_its_group_is_swept_where_it_was_asked_to_end_by_a_signal() {
    let scratch = Scratch::new("stage-sweep");
    let mut ctx = RunContext::scratch(&scratch.0);
    let marker = scratch.0.state.join("pid");
    for end_policy in [EndPolicy::Interrupt, EndPolicy::InterruptThenTerminate] {
        let script = format!("sleep 60 & echo $! > {}; exit 1", marker.display());
        let tool = Tool {
            end_policy,
            ..shell(&script)
        };
        assert_eq!(exited(ctx.tool(&tool, &mut |_| None)), Exit::Code(1));
        assert!(!lives(&marker), "{end_policy:?}");
        assert_eq!(work(&ctx), vec![]);
    }
}

#[test]
fn everything_that_a_tool_has_printed_before_its_end_is_said_however_much() {
    let scratch = Scratch::new("stage-much");
    let mut ctx = RunContext::scratch(&scratch.0);
    for end_policy in [
        EndPolicy::InterruptThenTerminate,
        EndPolicy::Interrupt,
        EndPolicy::Terminate,
    ] {
        let mut lines = 0;
        let tool = Tool {
            end_policy,
            ..shell("i=$(seq -w 1 60000); printf '%s\\n' \"$i\"")
        };
        let end = ctx.tool(&tool, &mut |_| {
            lines += 1;
            None
        });
        assert_eq!((exited(end), lines), (Exit::Code(0), 60_000), "{end_policy:?}");
    }
}

#[test]
fn what_a_tool_prints_into_a_file_is_for_us_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("stage-into");
    let mut ctx = RunContext::scratch(&scratch.0);
    let path = scratch.0.state.join("shown");
    let mut seen = Vec::new();
    let mut each = |line: &str| {
        seen.push(line.to_owned());
        None
    };
    let ended = ctx
        .write_out(&shell("echo out; echo err >&2; exit 3"), &path, &mut each)
        .unwrap();
    assert_eq!((ended.exit, seen), (Exit::Code(3), vec!["err".to_owned()]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "out\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        ctx.write_out(&shell("true"), &path, &mut |_| None).is_err(),
        "nothing is overwritten"
    );
}

#[test]
fn a_cancellation_ends_a_step_only_while_nothing_has_been_changed() {
    let scratch = Scratch::new("stage-cancel");
    let mut ctx = RunContext::scratch(&scratch.0);
    begin(&mut ctx).unwrap();
    ctx.cancel();
    assert_eq!(
        ctx.tool(&shell("sleep 20"), &mut |_| None).unwrap_err(),
        Failure::Cancelled
    );
    assert_eq!(ctx.pause(Duration::from_secs(20)), Err(Failure::Cancelled));

    let mut ctx = RunContext::scratch(&scratch.0);
    change(&mut ctx).unwrap();
    ctx.cancel();
    assert_eq!(
        exited(ctx.tool(&shell("sleep 0.1"), &mut |_| None)),
        Exit::Code(0)
    );
    ctx.pause(Duration::from_millis(10)).unwrap();
    assert_eq!(begin(&mut ctx), Err(Failure::Cancelled));
}

#[test]
fn a_cancellation_ends_a_tool_in_its_middle_only_while_nothing_has_been_changed() {
    let scratch = Scratch::new("stage-cancel-tool");
    let mut ctx = RunContext::scratch(&scratch.0);
    begin(&mut ctx).unwrap();
    ctx.interrupts.ask_in(Duration::from_millis(100));
    let tool = shell("echo begun; sleep 20");
    let mut say = |line: &str| Some(line.to_owned());
    let error = ctx.tool(&tool, &mut say).unwrap_err();
    assert_eq!(error, Failure::Cancelled);
    assert_eq!(messages(&ctx, &scratch.0), ["begun"]);

    let mut ctx = RunContext::scratch(&scratch.0);
    change(&mut ctx).unwrap();
    ctx.interrupts.ask_in(Duration::from_millis(100));
    let end = ctx.tool(&shell("echo begun; sleep 0.5; echo done"), &mut say);
    assert_eq!(exited(end), Exit::Code(0));
    assert_eq!(messages(&ctx, &scratch.0), ["begun", "done"]);
}

#[test]
fn nothing_is_changed_before_the_journal_is_on_disk() {
    let scratch = Scratch::new("stage-journal");
    let mut ctx = RunContext::scratch(&scratch.0);
    begin(&mut ctx).unwrap();
    assert!(crate::queue::journal::read(&scratch.0).unwrap().is_none());
    change(&mut ctx).unwrap();
    assert_eq!(
        crate::queue::journal::read(&scratch.0).unwrap().unwrap().run_id,
        ctx.ticket.file.id
    );
    let mut ctx = RunContext::scratch(&scratch.0);
    std::fs::remove_dir_all(&scratch.0.state).unwrap();
    let error = change(&mut ctx).unwrap_err();
    assert!(error.to_string().contains("nothing was changed"), "{error}");
}

#[test]
fn the_sooner_of_the_deadlines_counts_and_is_named() {
    let scratch = Scratch::new("stage-bounds");
    let mut ctx = RunContext::scratch(&scratch.0);
    ctx.begin(Phase::Pull, Duration::from_millis(100)).unwrap();
    let error = ctx.tool(&shell("sleep 20"), &mut |_| None).unwrap_err();
    assert_eq!(error.to_string(), "the step `pull` was not done within 100ms");
    assert_eq!(ctx.pause(Duration::from_secs(9)), Err(error));
    ctx.run.until = Instant::now();
    let error = begin(&mut ctx).unwrap_err();
    assert_eq!(error.to_string(), "the run was not done within 1m");
}

#[test]
fn a_tool_that_must_not_be_cut_can_print_on_after_its_run_has_died() {
    let scratch = Scratch::new("stage-printson");
    let done = scratch.0.state.join("done");
    let script = format!("echo first; sleep 0.4; echo more && touch {}", done.display());
    for policy in [EndPolicy::Interrupt, EndPolicy::InterruptThenTerminate] {
        let tool = Tool {
            end_policy: policy,
            ..shell(&script)
        };
        let path = scratch.0.state.join("output");
        // Nobody reads any more: a pipe would be broken now.
        drop(
            tool.start(crate::run::tool::Output::File(&path), &mut |_| None)
                .unwrap(),
        );
        let until = Instant::now() + Duration::from_secs(5);
        while !done.exists() {
            assert!(Instant::now() < until, "the tool died of its output");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(&done).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_must_be_done_in_any_case_has_time_of_its_own_and_then_the_deadlines_count_again() {
    let scratch = Scratch::new("stage-any-case");
    let mut ctx = RunContext::scratch(&scratch.0);
    change(&mut ctx).unwrap();
    ctx.deadline.until = Instant::now();
    assert!(ctx.tool(&shell(""), &mut |_| None).is_err());
    let given = Duration::from_millis(300);
    let (ended, late) = ctx.in_any_case(given, |ctx| {
        let ended = exited(ctx.tool(&shell(""), &mut |_| None));
        (ended, ctx.tool(&shell("sleep 20"), &mut |_| None))
    });
    assert_eq!(ended, Exit::Code(0));
    let late = late.unwrap_err().to_string();
    assert_eq!(late, "the end of the step `update` was not done within 300ms");
    assert_eq!(ctx.check(CancelEnds::Everything), ctx.deadline.check());
}

#[test]
fn all_that_a_tool_printed_into_its_file_before_it_ended_is_said() {
    let scratch = Scratch::new("stage-burst-end");
    let mut ctx = RunContext::scratch(&scratch.0);
    let mut last = 0;
    let end = ctx.tool(&uncut("seq 150000"), &mut |line| {
        assert_eq!(line.parse(), Ok(last + 1));
        last += 1;
        None
    });
    assert_eq!(exited(end), Exit::Code(0));
    assert_eq!(last, 150_000);
}

#[test]
fn a_burst_into_a_file_is_read_at_once_though_nothing_follows_it() {
    let scratch = Scratch::new("stage-burst");
    let mut ctx = RunContext::scratch(&scratch.0);
    let script = "yes $(printf %0999d 7) | head -n 4000; sleep 6";
    let (begun, mut came) = (Instant::now(), Vec::new());
    let end = ctx.tool(&uncut(script), &mut |_| {
        came.push(begun.elapsed());
        None
    });
    assert_eq!(exited(end), Exit::Code(0));
    assert_eq!(came.len(), 4000);
    // Read a pass a look, it would take over three seconds.
    assert!(came[3999] - came[0] < Duration::from_secs(2), "{:?}", came[3999]);
}

#[test]
fn polling_ends_with_what_was_found_with_its_time_or_with_a_cancellation_whatever_was_changed() {
    let scratch = Scratch::new("stage-poll");
    let mut ctx = RunContext::scratch(&scratch.0);
    let (every, begun) = (Duration::from_secs(2), Instant::now());
    let mut looks = 0;
    let found = ctx.poll(every, begun + Duration::from_secs(20), |_| {
        looks += 1;
        Ok((looks == 3).then_some("it"))
    });
    assert_eq!(found, Ok(Some("it")));
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "the first looks come soon"
    );
    let nothing = |_: &mut RunContext| Ok(None::<()>);
    let soon = Instant::now() + Duration::from_millis(150);
    assert_eq!(ctx.poll(every, soon, nothing), Ok(None));
    change(&mut ctx).unwrap();
    ctx.interrupts.ask_in(Duration::from_millis(150));
    let late = Instant::now() + Duration::from_secs(20);
    assert_eq!(ctx.poll(every, late, nothing), Err(Failure::Cancelled));
    // On the way back nothing is cancelled.
    let soon = Instant::now() + Duration::from_millis(150);
    let found = ctx.in_any_case(Duration::from_secs(9), |ctx| ctx.poll(every, soon, nothing));
    assert_eq!(found, Ok(None));
}

#[test]
fn nothing_is_tidied_up_before_the_commit_point_is_on_disk() {
    let scratch = Scratch::new("stage-commit");
    let mut ctx = RunContext::scratch(&scratch.0);
    let mut tidied = 0;
    let given = Duration::from_secs(9);
    let mut tidy = |ctx: &mut RunContext| {
        ctx.tidy(Phase::Cleanup, given, |_| {
            tidied += 1;
            Err(Failure::failed("left"))
        });
        tidied
    };
    change(&mut ctx).unwrap();
    ctx.write_undo_record(serde_json::json!({"container": "a"}))
        .unwrap();
    assert_eq!(tidy(&mut ctx), 0);
    ctx.commit();
    let content = crate::queue::journal::read(&scratch.0).unwrap().unwrap();
    assert!(content.committed);
    // Neither a cancellation nor the run's time keeps it from being done.
    ctx.cancel();
    ctx.run.until = Instant::now();
    assert_eq!(tidy(&mut ctx), 1);
    assert_eq!(messages(&ctx, &scratch.0), ["warning: left"]);
}
