//! Transforms that break a limit, or give something else than was asked.

use crmsync_cells::{Batch, Builder, Cell, Kind, Malformed};

use super::guest::{Guest, load_transform};
use crate::runtime::limits::BATCH_ROWS_MAX;
use crate::runtime::types::{Applied, Column, Complaint, Step};
use crate::runtime::{Error, TransformPlugin};

/// Where the tests put what `apply` returns: `result<applied, string>`, all zero at first. From 2,052 on: rows; kinds, words, text
/// and complaints, each as address and length.
const RESULT: &str = "i32.const 2048";

fn question(rows: usize) -> (Vec<Step>, Vec<Column>, Batch) {
    let step = Step { function: "f".to_owned(), settings: String::new(), inputs: vec![0], outputs: vec![0] };
    let column = Column { name: "Phone".to_owned(), kind: Kind::Text };
    let mut batch = Builder::new(1, rows);
    (0..rows).for_each(|_| batch.push(Cell::Text("abc")));
    (vec![step], vec![column], batch.finish())
}

async fn plugin(apply: &str, others: &str) -> TransformPlugin {
    load_transform(&Guest { bodies: &[("apply", apply)], imports: "", others }).await
}

async fn apply(plugin: &TransformPlugin, rows: usize) -> Result<Result<Applied, String>, Error> {
    let (steps, columns, batch) = question(rows);
    plugin.apply(&steps, &columns, batch, &[]).await
}

#[tokio::test]
async fn an_endless_loop_uses_up_its_fuel() {
    let plugin = plugin("(loop (br 0)) unreachable", "").await;
    for _ in 0..2 {
        let error = apply(&plugin, 1).await.expect_err("stopped");
        assert!(matches!(error, Error::OutOfFuel { fuel: 20_200_192, call: "apply", .. }), "{error}");
    }
}

#[tokio::test]
async fn bulk_memory_is_paid_by_the_byte() {
    let fill = "(loop (memory.fill (i32.const 65536) (i32.const 0) (i32.const 1048576)) (br 0)) unreachable";
    let error = apply(&plugin(fill, "").await, 1).await.expect_err("stopped");
    assert!(matches!(error, Error::OutOfFuel { .. }), "{error}");
}

#[tokio::test]
async fn other_breaches_are_named() {
    let trap = apply(&plugin("unreachable", "").await, 1).await.expect_err("stopped");
    assert!(matches!(trap, Error::Trapped { .. }), "{trap}");
    let bomb = apply(&plugin("(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable", "").await, 1).await;
    assert!(matches!(bomb, Err(Error::OutOfMemory { bytes_max: 16_777_216, .. })), "{bomb:?}");
    let deep = "(func $down (result i32) (i32.add (call $down) (call $down)))";
    let stack = apply(&plugin("call $down", deep).await, 1).await.expect_err("stopped");
    assert!(matches!(stack, Error::OutOfStack { .. }), "{stack}");
}

#[tokio::test]
async fn each_call_has_a_fresh_instance() {
    // The answer has as many rows as there were calls: only the first one fits the question.
    let count = "(i32.store (i32.const 2052) (i32.add (i32.load (i32.const 2052)) (i32.const 1)))
        (i32.store (i32.const 2056) (i32.const 3000)) (i32.store (i32.const 2060) (i32.const 1))
        (i32.store (i32.const 2064) (i32.const 3008)) (i32.store (i32.const 2068) (i32.const 1))";
    let plugin = plugin(&format!("{count} {RESULT}"), "").await;
    for _ in 0..3 {
        let applied = apply(&plugin, 1).await.expect("not stopped").expect("not refused");
        assert_eq!(applied.rows, Batch { rows: 1, kinds: vec![0], words: vec![0], text: Vec::new() });
    }
}

#[tokio::test]
async fn answers_are_checked() {
    let one_row = "(i32.store (i32.const 2052) (i32.const 1))";
    let one_cell = "(i32.store (i32.const 2056) (i32.const 3000)) (i32.store (i32.const 2060) (i32.const 1))
        (i32.store (i32.const 2064) (i32.const 3008)) (i32.store (i32.const 2068) (i32.const 1))";
    let complaint = "(i32.store (i32.const 2080) (i32.const 3016)) (i32.store (i32.const 2084) (i32.const 1))
        (i32.store (i32.const 3024) (i32.const 3032)) (i32.store (i32.const 3028) (i32.const 1))
        (i32.store8 (i32.const 3032) (i32.const 120))";
    let answer = async |body: String| apply(&plugin(&format!("{body} {RESULT}"), "").await, 1).await;

    let good = answer(format!("{one_row} {one_cell} {complaint}")).await.expect("not stopped").expect("not refused");
    assert_eq!(good.complaints, [Complaint { row: 0, step: 0, reason: "x".to_owned() }]);

    let error = answer(one_row.to_owned()).await.expect_err("a row without cells");
    assert!(matches!(error, Error::MalformedBatch { batch: "rows", source: Malformed::Lengths, .. }), "{error}");
    let error = answer(format!("{one_row} {one_cell} (i32.store8 (i32.const 3000) (i32.const 2))")).await;
    assert!(
        matches!(error, Err(Error::MalformedBatch { source: Malformed::TextOutside { cell: 0 }, .. })),
        "an empty text: {error:?}"
    );
    let error = answer(format!("{one_row} {one_cell} (i32.store8 (i32.const 3000) (i32.const 99))")).await;
    assert!(matches!(error, Err(Error::MalformedBatch { .. })), "an unknown kind: {error:?}");

    let malformed = async |body: String, part: &str| match answer(body).await {
        Err(Error::MalformedAnswer { reason, .. }) => {
            assert!(reason.contains(part), "`{reason}` says nothing of `{part}`")
        }
        other => panic!("{part}: {other:?}"),
    };
    malformed(String::new(), "0 rows came back for 1").await;
    let wild = "(i32.store (i32.const 3016) (i32.const 1))";
    malformed(format!("{one_row} {one_cell} {complaint} {wild}"), "there is not").await;
    let kept = "(i32.store8 (i32.const 3000) (i32.const 3))";
    malformed(format!("{one_row} {one_cell} {complaint} {kept}"), "although there is a complaint").await;
    let mute = "(i32.store (i32.const 3028) (i32.const 0))";
    malformed(format!("{one_row} {one_cell} {complaint} {mute}"), "reason is empty").await;
}

#[tokio::test]
async fn huge_answers_are_refused() {
    let rows = format!("(i32.store (i32.const 2052) (i32.const {})) {RESULT}", BATCH_ROWS_MAX + 1);
    let error = apply(&plugin(&rows, "").await, 1).await.expect_err("too many rows");
    assert!(matches!(error, Error::TooLarge { what: "rows of a batch", .. }), "{error}");
    // A list that reaches beyond the guest's own memory is stopped before anything is allocated for it.
    let beyond = format!("(i32.store (i32.const 2060) (i32.const 0x7fffffff)) {RESULT}");
    let error = apply(&plugin(&beyond, "").await, 1).await.expect_err("beyond memory");
    assert!(matches!(error, Error::Trapped { .. }), "{error}");
    let error = apply(&plugin("i32.const -4", "").await, 1).await.expect_err("a wild pointer");
    assert!(matches!(error, Error::Trapped { .. }), "{error}");
}

#[tokio::test]
async fn questions_are_checked_too() {
    let plugin = plugin("unreachable", "").await;
    let (steps, columns, batch) = question(1);
    let wrong = async |change: &dyn Fn(&mut Step), expected: &str| {
        let mut steps = steps.clone();
        change(&mut steps[0]);
        let error = plugin.apply(&steps, &columns, batch.clone(), &[]).await.expect_err("the question is wrong");
        assert!(error.to_string().contains(expected), "{error}");
    };
    wrong(&|step| step.inputs = vec![1], "reads a column").await;
    wrong(&|step| step.outputs = vec![1], "exactly once").await;
    wrong(&|step| step.outputs = vec![0, 0], "exactly once").await;
    let error = plugin.apply(&steps, &[], batch.clone(), &[]).await.expect_err("no columns");
    assert!(matches!(error, Error::BadRequest { .. }), "{error}");
}
