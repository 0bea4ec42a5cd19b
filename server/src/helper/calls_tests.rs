use super::*;

type Asked = Numbered<String>;

fn calls() -> (Calls<String, String>, Sender, Receiver) {
    let (a, b) = UnixStream::pair().expect("a socket");
    let (out, inn) = wire::ends(b);
    let calls = Calls::new(Line::once("test", a));
    calls.watch().expect("a thread");
    (calls, out, inn)
}

#[test]
fn answers_find_their_questions_in_any_order() {
    let (calls, mut out, mut inn) = calls();
    let helper = std::thread::spawn(move || {
        let asked: Vec<Asked> = (0..3).map(|_| inn.receive(None).expect("a question").0).collect();
        for Numbered { id, body } in asked.into_iter().rev() {
            out.send(&Numbered { id, body: format!("to {body}") }, &[]).expect("sends");
        }
    });
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let calls = &calls;
            scope.spawn(move || {
                let (answer, _) = calls.call(name.into(), Duration::from_secs(20)).expect("an answer");
                assert_eq!(answer, format!("to {name}"));
            });
        }
    });
    helper.join().expect("ends");
}

#[test]
fn a_question_that_was_given_up_is_forgotten_and_its_late_answer_hurts_nobody() {
    let (calls, mut out, mut inn) = calls();
    assert!(matches!(calls.call("slow".into(), Duration::ZERO), Err(CallError::TooSlow(_))));
    let (late, _) = inn.receive::<Asked>(None).expect("a question");
    assert_eq!(locked(&calls.shared.waiting).as_ref().map(HashMap::len), Some(0));
    out.send(&late, &[]).expect("sends");
    let helper = std::thread::spawn(move || {
        let (next, _) = inn.receive::<Asked>(None).expect("a question");
        out.send(&next, &[]).expect("sends");
    });
    assert_eq!(calls.call("quick".into(), Duration::from_secs(20)).expect("an answer").0, "quick");
    helper.join().expect("ends");
}

#[test]
fn the_helper_s_end_fails_those_who_wait_and_all_who_come() {
    for wrong in [false, true] {
        let (calls, mut out, mut inn) = calls();
        let helper = std::thread::spawn(move || {
            inn.receive::<Asked>(None).expect("a question");
            if wrong {
                out.send(&"what is this", &[]).expect("sends");
                assert!(matches!(inn.receive::<Asked>(None), Err(WireError::Closed)), "the server closes");
            }
        });
        let begun = Instant::now();
        assert!(matches!(calls.call("a".into(), Duration::from_secs(60)), Err(CallError::Gone)));
        assert!(begun.elapsed() < Duration::from_secs(50), "waited in vain");
        helper.join().expect("ends");
        assert!(calls.call("b".into(), Duration::from_secs(60)).is_err());
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A helper that answers with its number until it is asked to go.
fn echo(number: usize) -> UnixStream {
    let (ours, its) = UnixStream::pair().expect("a socket");
    std::thread::spawn(move || {
        let (mut out, mut inn) = wire::ends(its);
        out.send(&format!("helper {number}"), &[]).expect("greets");
        while let Ok((Numbered { id, body }, _)) = inn.receive::<Asked>(None)
            && body != "go"
        {
            out.send(&Numbered { id, body: format!("{body} {number}") }, &[]).expect("answers");
        }
    });
    ours
}

/// Calls to helpers of which so many may follow the first; who is told; and what each said of itself.
fn started_again(more: usize) -> (Calls<String, String>, mpsc::Receiver<Change>, mpsc::Receiver<String>) {
    let (told, changes) = mpsc::channel();
    let (said, greetings) = mpsc::channel();
    let mut number = 0;
    let again = move || {
        number += 1;
        if number > more { Err(CallError::Gone) } else { Ok(echo(number)) }
    };
    let tell = move |change| told.send(change).unwrap_or_default();
    let line = Line { name: "test", socket: echo(0), again: Some(Box::new(again)), tell: Some(Box::new(tell)) };
    let calls = Calls::greeted(line, move |receiver| {
        let (greeting, _) = receiver.receive::<String>(Some(PATIENCE))?;
        said.send(greeting).map_err(|_| CallError::Gone)
    });
    (calls.expect("greets"), changes, greetings)
}

#[test]
fn a_helper_that_ends_is_followed_by_another_and_what_follows_a_start_is_done() {
    let (calls, changes, greetings) = started_again(2);
    let (done, then) = mpsc::channel();
    calls.when_again(move || done.send(()).unwrap_or_default());
    assert_eq!(calls.call("before".into(), PATIENCE).expect("no thread is needed").0, "before 0");
    calls.watch().expect("a thread");
    for number in 1..=2 {
        calls.tell("go".into());
        assert_eq!(changes.recv_timeout(PATIENCE), Ok(Change::Ended));
        assert_eq!(changes.recv_timeout(PATIENCE), Ok(Change::Again));
        then.recv_timeout(PATIENCE).expect("is done");
        assert_eq!(calls.call("a".into(), PATIENCE).expect("an answer").0, format!("a {number}"));
    }
    calls.tell("go".into());
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(Change::Ended));
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(Change::Lost));
    assert!(matches!(calls.call("b".into(), PATIENCE), Err(CallError::Gone)));
    assert_eq!(greetings.try_iter().collect::<Vec<_>>(), ["helper 0", "helper 1", "helper 2"]);
}

#[test]
fn calls_that_are_dropped_end_their_helper_and_start_none() {
    let (calls, changes, greetings) = started_again(9);
    calls.watch().expect("a thread");
    assert_eq!(calls.call("a".into(), PATIENCE).expect("an answer").0, "a 0");
    drop(calls);
    // the thread that told is gone
    assert_eq!(changes.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(greetings.try_iter().count(), 1);
}
