use super::*;

use std::path::Path;

use crate::config::Places;
use crate::os::child::Exit;
use crate::run::folder::testing::Scratch;
use crate::run::{Captured, Ending, RunFolder, RunId, Tool, ToolEnd, ticket};

impl Stage {
    /// A stage for unit tests: its log is `<runs>/<id>/log.ndjson`. It hears no signals and has a minute.
    pub(crate) fn scratch(places: &Places) -> Self {
        let id = RunId::new(SystemTime::now()).unwrap();
        let folder = RunFolder::of(places, &id);
        std::fs::create_dir_all(folder.path()).unwrap();
        let mut ticket = Ticket::make(places, &id).unwrap();
        ticket.write_holder().unwrap();
        let journal = Journal::new(places, &id, "2026-01-02T03:04:05.678Z".into());
        let log = Log::open(&folder.log(), &id);
        Self::new(
            folder,
            log,
            Interrupts::deaf(),
            ticket,
            journal,
            Duration::from_secs(60),
        )
    }

    /// As if the run had been asked to end.
    pub(crate) fn cancel(&mut self) {
        self.interrupts.ask();
    }
}

fn shell(script: &str) -> Tool {
    Tool {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        deadline: Duration::from_secs(30),
        ending: Ending::Terminate,
        stdin: None,
        pipe: None,
    }
}

fn briefly(script: &str, ending: Ending) -> Tool {
    let deadline = Duration::from_millis(150);
    Tool {
        deadline,
        ending,
        ..shell(script)
    }
}

fn messages(stage: &Stage, places: &Places) -> Vec<String> {
    let folder = RunFolder::of(places, &stage.ticket.seen().id);
    let text = std::fs::read_to_string(folder.log()).unwrap();
    let event = |line: &str| serde_json::from_str::<crate::event::Event>(line).unwrap().message;
    text.lines().map(event).collect()
}

fn work(stage: &Stage) -> Vec<(ticket::Work, Option<ticket::Process>)> {
    stage.ticket.seen().notes().unwrap().work
}

fn exited(end: Result<ToolEnd, Failure>) -> Exit {
    match end {
        Ok(ToolEnd::Ended(ended)) => ended.exit,
        other => panic!("{other:?}"),
    }
}

fn step(effect: Effect) -> Step<'static> {
    Step {
        effect,
        ..Step::looks(Phase::Update, Duration::from_secs(60), |_| Ok(()))
    }
}

fn lives(marker: &Path) -> bool {
    let pid: i32 = std::fs::read_to_string(marker).unwrap().trim().parse().unwrap();
    process::living(process::Kin::Group(pid)).unwrap().contains(&pid)
}

#[test]
fn what_a_tool_prints_is_said_in_order_and_its_exit_is_told() {
    let scratch = Scratch::new("stage-tool");
    let mut stage = Stage::scratch(&scratch.0);
    let script = "echo out; echo err >&2; echo hidden; printf last; exit 3";
    let mut all = Vec::new();
    let end = stage.tool(&shell(script), &mut |line| {
        all.push(line.to_owned());
        (line != "hidden").then(|| format!("said {line}"))
    });
    let Ok(ToolEnd::Ended(ended)) = end else {
        panic!("{end:?}")
    };
    assert_eq!(ended.exit, Exit::Code(3));
    assert_eq!(all, ["out", "err", "hidden", "last"]);
    assert_eq!(ended.tail, all);
    assert_eq!(
        messages(&stage, &scratch.0),
        ["said out", "said err", "said last"]
    );
    assert_eq!(work(&stage), vec![]);
}

#[test]
fn a_tool_that_leaves_a_process_with_its_output_behind_is_not_waited_for() {
    let scratch = Scratch::new("stage-left");
    let mut stage = Stage::scratch(&scratch.0);
    let started = Instant::now();
    let end = stage.tool(&shell("sleep 20 & echo done"), &mut |_| None);
    assert_eq!(exited(end), Exit::Code(0));
    assert!(started.elapsed() < Duration::from_secs(5));
    let group = stage.ticket.seen().clone();
    drop(group);
}

#[test]
fn a_quiet_tool_is_captured_with_its_streams_apart() {
    let scratch = Scratch::new("stage-capture");
    let mut stage = Stage::scratch(&scratch.0);
    let tool = Tool {
        stdin: Some(b"given".to_vec()),
        ..shell("cat; echo why >&2; exit 1")
    };
    let Captured {
        exit,
        stdout,
        stderr_tail,
    } = stage.capture(&tool, 100).unwrap();
    assert_eq!(
        (exit, stdout.as_slice(), stderr_tail),
        (Exit::Code(1), &b"given"[..], vec!["why".to_owned()])
    );
    let error = stage
        .capture(&shell("head -c 1000000 /dev/zero"), 1000)
        .unwrap_err();
    assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
}

#[test]
fn a_missing_program_is_a_sentence_and_leaves_no_trace_in_the_ticket() {
    let scratch = Scratch::new("stage-missing");
    let mut stage = Stage::scratch(&scratch.0);
    for program in ["/nowhere/at-all", "not-on-any-path"] {
        let tool = Tool {
            program: program.into(),
            ..shell("")
        };
        let error = stage.tool(&tool, &mut |_| None).unwrap_err();
        assert!(error.to_string().contains(program), "{error}");
    }
    assert_eq!(work(&stage), vec![]);
}

#[test]
fn a_tool_past_its_deadline_is_ended_with_its_whole_group() {
    let scratch = Scratch::new("stage-deadline");
    let mut stage = Stage::scratch(&scratch.0);
    let marker = scratch.0.state.join("pid");
    let script = format!(
        "sh -c 'trap \"\" HUP; echo $$; exec sleep 60' & echo $$ > {}; wait",
        marker.display()
    );
    let error = stage
        .tool(&briefly(&script, Ending::Terminate), &mut |_| None)
        .unwrap_err();
    assert_eq!(error.to_string(), "`sh` was not done within 150ms");
    let group: i32 = std::fs::read_to_string(&marker).unwrap().trim().parse().unwrap();
    assert_eq!(
        process::living(process::Kin::Group(group)).unwrap(),
        Vec::<i32>::new()
    );
    assert_eq!(work(&stage), vec![]);
}

#[test]
fn a_tool_that_must_not_be_cut_is_left_at_work_until_the_step_decides() {
    let scratch = Scratch::new("stage-midway");
    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Changes)).unwrap();
    stage.cancel();
    let marker = scratch.0.state.join("pid");
    let script = format!("echo $$ > {}; sleep 0.4; echo late; sleep 60", marker.display());
    let end = stage.tool(&briefly(&script, Ending::NeverMidway), &mut |_| None);
    let Ok(ToolEnd::AtWork(at_work)) = end else {
        panic!("{end:?}")
    };
    assert!(lives(&marker));
    assert_eq!(work(&stage).len(), 1);
    let patience = Duration::from_millis(500);
    let mut say = |line: &str| Some(line.to_owned());
    let end = stage.await_longer(at_work, patience, &mut say);
    let Ok(ToolEnd::AtWork(at_work)) = end else {
        panic!("{end:?}")
    };
    assert_eq!(messages(&stage, &scratch.0), ["late"]);
    stage.kill(at_work).unwrap();
    assert!(!lives(&marker));
    assert_eq!(work(&stage), vec![]);
}

#[test]
fn what_a_step_leaves_at_work_is_killed_before_the_turn_passes() {
    let scratch = Scratch::new("stage-dropped");
    let mut stage = Stage::scratch(&scratch.0);
    let marker = scratch.0.state.join("pid");
    let script = format!("echo $$ > {}; exec sleep 60", marker.display());
    drop(stage.tool(&briefly(&script, Ending::NeverMidway), &mut |_| None));
    assert!(lives(&marker));
    drop(stage.leave());
    assert!(!lives(&marker));
}

#[test]
fn a_tool_that_is_interrupted_gets_one_int_and_the_time_it_needs() {
    let scratch = Scratch::new("stage-interrupt");
    let mut stage = Stage::scratch(&scratch.0);
    let script = "trap 'echo interrupted; sleep 0.3; echo saved; exit 0' INT; echo ready; while :; do sleep 0.05; done";
    let mut seen = Vec::new();
    let end = stage.tool(&briefly(script, Ending::Interrupt), &mut |line| {
        seen.push(line.to_owned());
        None
    });
    assert!(matches!(end, Err(Failure::Deadline { .. })), "{end:?}");
    assert_eq!(seen, ["ready", "interrupted", "saved"]);
}

#[test]
fn a_cancellation_ends_a_step_only_while_nothing_has_been_changed() {
    let scratch = Scratch::new("stage-cancel");
    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Looks)).unwrap();
    stage.cancel();
    assert_eq!(
        stage.tool(&shell("sleep 20"), &mut |_| None).unwrap_err(),
        Failure::Cancelled
    );
    assert_eq!(stage.pause(Duration::from_secs(20)), Err(Failure::Cancelled));

    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Changes)).unwrap();
    stage.cancel();
    assert_eq!(
        exited(stage.tool(&shell("sleep 0.1"), &mut |_| None)),
        Exit::Code(0)
    );
    stage.pause(Duration::from_millis(10)).unwrap();
    assert_eq!(stage.enter(&step(Effect::Looks)), Err(Failure::Cancelled));
}

#[test]
fn a_cancellation_ends_a_tool_in_its_middle_only_while_nothing_has_been_changed() {
    let scratch = Scratch::new("stage-cancel-tool");
    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Looks)).unwrap();
    stage.interrupts.ask_in(Duration::from_millis(100));
    let tool = shell("echo begun; sleep 20");
    let mut say = |line: &str| Some(line.to_owned());
    let error = stage.tool(&tool, &mut say).unwrap_err();
    assert_eq!(error, Failure::Cancelled);
    assert_eq!(messages(&stage, &scratch.0), ["begun"]);

    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Changes)).unwrap();
    stage.interrupts.ask_in(Duration::from_millis(100));
    let end = stage.tool(&shell("echo begun; sleep 0.5; echo done"), &mut say);
    assert_eq!(exited(end), Exit::Code(0));
    assert_eq!(messages(&stage, &scratch.0), ["begun", "done"]);
}

#[test]
fn nothing_is_changed_before_the_journal_is_on_disk() {
    let scratch = Scratch::new("stage-journal");
    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Looks)).unwrap();
    assert!(crate::run::journal::read(&scratch.0).unwrap().is_none());
    stage.enter(&step(Effect::Changes)).unwrap();
    assert_eq!(
        crate::run::journal::read(&scratch.0)
            .unwrap()
            .unwrap()
            .head
            .run_id,
        stage.ticket.seen().id
    );
    let mut stage = Stage::scratch(&scratch.0);
    std::fs::remove_dir_all(&scratch.0.state).unwrap();
    let error = stage.enter(&step(Effect::Changes)).unwrap_err();
    assert!(error.to_string().contains("nothing was changed"), "{error}");
}

#[test]
fn the_sooner_of_the_deadlines_counts_and_is_named() {
    let scratch = Scratch::new("stage-bounds");
    let mut stage = Stage::scratch(&scratch.0);
    let short = Step::looks(Phase::Pull, Duration::from_millis(100), |_| Ok(()));
    stage.enter(&short).unwrap();
    let error = stage.tool(&shell("sleep 20"), &mut |_| None).unwrap_err();
    assert_eq!(error.to_string(), "the step `pull` was not done within 100ms");
    assert_eq!(stage.pause(Duration::from_secs(9)), Err(error));
    stage.run.until = Instant::now();
    let error = stage.enter(&step(Effect::Looks)).unwrap_err();
    assert_eq!(error.to_string(), "the run was not done within 1m");
}

#[test]
fn a_tool_that_must_not_be_cut_can_print_on_after_its_run_has_died() {
    let scratch = Scratch::new("stage-printson");
    let mut stage = Stage::scratch(&scratch.0);
    let done = scratch.0.state.join("done");
    let script = format!("echo first; sleep 0.4; echo more && touch {}", done.display());
    let mut seen = Vec::new();
    let end = stage.tool(&briefly(&script, Ending::NeverMidway), &mut |line| {
        seen.push(line.to_owned());
        None
    });
    assert_eq!(seen, ["first"]);
    // Nobody reads any more: a pipe would be broken now.
    drop((end, stage));
    let until = Instant::now() + Duration::from_secs(5);
    while !done.exists() {
        assert!(Instant::now() < until, "the tool died of its output");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_must_be_done_in_any_case_has_time_of_its_own_and_then_the_deadlines_count_again() {
    let scratch = Scratch::new("stage-any-case");
    let mut stage = Stage::scratch(&scratch.0);
    stage.enter(&step(Effect::Changes)).unwrap();
    stage.run.until = Instant::now();
    assert!(stage.tool(&shell(""), &mut |_| None).is_err());
    let given = Duration::from_millis(300);
    let (ended, late) = stage.in_any_case(given, |stage| {
        let ended = exited(stage.tool(&shell(""), &mut |_| None));
        (ended, stage.tool(&shell("sleep 20"), &mut |_| None))
    });
    assert_eq!(ended, Exit::Code(0));
    let late = late.unwrap_err().to_string();
    assert_eq!(late, "the end of the step `update` was not done within 300ms");
    assert_eq!(stage.check(), Err(stage.run.passed()));
}
