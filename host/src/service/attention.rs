//! Records and fields that need a person: listed by what they have in common, shown with all that is known, answered one by one or all
//! at once. The next run carries answers out.

use std::collections::BTreeMap;

use crmsync_core::{Side, Value};
use serde::Serialize;

use super::failure::Failure;
use super::flows::{get, journalled, open, sides_of, take_soon};
use super::guide::{AnswerWord, guide};
use super::links::exists;
use super::operator;
use super::record::find_record;
use super::resolved::{Metadata, Resolved};
use crate::app::App;
use crate::store::{Answer, InboxRow, Obstacle, Point, PointGroup, PointQuery, RecordPlace};

/// Points that are answered at once.
const POINTS_AT_ONCE: usize = 500;
/// Refusals that an answer to many points tells.
const REFUSALS_TOLD_MAX: usize = 20;

/// Kinds of outcomes that wait for a person.
const WAITING_FOR_PEOPLE: [&str; 2] = ["needs-attention", "failed"];

/// Which points are meant; what is empty matches all.
#[derive(Clone, Debug, Default)]
pub struct PointFilter {
    /// Reason code.
    pub reason: String,
    /// A module of either side, by its API name.
    pub module: String,
    /// A field, by the API name of either side.
    pub field: String,
    /// The value that was left out.
    pub value: String,
    /// A record of either side.
    pub record: String,
    /// Also what waits for nobody: fields left out, differences, removals, records that are not synced.
    pub all: bool,
}

impl PointFilter {
    /// Whether it names anything at all: an answer to everything is no answer.
    pub fn is_open(&self) -> bool {
        self.reason.is_empty() && self.record.is_empty()
    }

    async fn query(&self, app: &App, tenant: &str, flow: &str, fields: &Fields) -> Result<PointQuery, Failure> {
        let mut record = None;
        if !self.record.is_empty() {
            // Of a record that is not known nothing is open.
            let unknown = RecordPlace { side: Side::Left, module: String::new(), id: self.record.clone() };
            record = Some(find_record(app, tenant, flow, &self.record).await?.unwrap_or(unknown));
        }
        // Whoever names a reason or a record means it, whatever its kind.
        let kinds = if self.all || !self.is_open() { vec![] } else { WAITING_FOR_PEOPLE.to_vec() };
        Ok(PointQuery {
            kinds,
            reason: self.reason.clone(),
            module: self.module.clone(),
            field: fields.row(&self.field),
            value: self.value.clone(),
            record,
            skip: 0,
            most: usize::MAX >> 1,
        })
    }
}

/// Mapping rows by the names of their fields: rows are called `left fields=right fields`.
struct Fields(Vec<String>);

impl Fields {
    async fn of(app: &App, tenant: &str, flow: &str) -> Result<Fields, Failure> {
        let groups = app.store().point_groups(tenant, flow, PointQuery::default()).await?;
        Ok(Fields(groups.into_iter().map(|group| group.field).collect()))
    }

    /// The row that a field belongs to; an unknown name stays, and matches nothing.
    fn row(&self, field: &str) -> String {
        let of_row = |row: &&String| row.split(['=', '+']).any(|name| name.eq_ignore_ascii_case(field));
        let known = self.0.iter().find(|row| *row == field).or_else(|| self.0.iter().find(of_row));
        known.filter(|_| !field.is_empty()).cloned().unwrap_or_else(|| field.to_owned())
    }
}

/// Points that are alike, with what they mean.
#[derive(Clone, Debug, Serialize)]
pub struct Attention {
    /// The flow.
    pub flow: String,
    /// What they have in common.
    #[serde(flatten)]
    pub group: PointGroup,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// Answers that fit.
    pub answers: &'static [AnswerWord],
}

/// What is open in one flow, or in all, by reason.
///
/// # Errors
/// There is no such flow.
pub async fn list(
    app: &App,
    tenant: &str,
    flow: Option<&str>,
    filter: &PointFilter,
) -> Result<Vec<Attention>, Failure> {
    let flows = match flow {
        Some(name) => vec![get(app, tenant, name).await?.name],
        None => app.store().flows(tenant).await?.into_iter().map(|flow| flow.name).collect(),
    };
    let mut all = Vec::new();
    for flow in flows {
        let query = filter.query(app, tenant, &flow, &Fields::of(app, tenant, &flow).await?).await?;
        let groups = app.store().point_groups(tenant, &flow, query).await?;
        all.extend(groups.into_iter().map(|group| {
            let guide = guide(&group.reason);
            Attention { flow: flow.clone(), meaning: guide.meaning, fix: guide.fix, answers: guide.answers, group }
        }));
    }
    Ok(all)
}

/// A field with what both sides show of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldShown {
    /// Mapping row: left fields, `=`, right fields; of a record that is in no link its own field.
    pub field: String,
    /// Left value, as people read it.
    pub left: String,
    /// Right value.
    pub right: String,
}

/// A record that could be the counterpart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its id.
    pub record: String,
    /// What it shows, by field.
    pub values: BTreeMap<String, String>,
}

/// Everything that is known of a record that needs a person.
#[derive(Clone, Debug, Serialize)]
pub struct RecordInNeed {
    /// Connections, left first.
    pub between: [String; 2],
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// Left record, "" if there is none.
    pub left: String,
    /// Right record, "" if there is none.
    pub right: String,
    /// What is open, each with what it means and what to do.
    pub points: Vec<PointShown>,
    /// What both sides showed last.
    pub values: Vec<FieldShown>,
    /// Records of the other side with the same match key.
    pub candidates: Vec<Candidate>,
}

/// One point with its explanation.
#[derive(Clone, Debug, Serialize)]
pub struct PointShown {
    /// The point.
    #[serde(flatten)]
    pub point: Point,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// Answers that fit.
    pub answers: Vec<AnswerWord>,
}

/// Answers that fit a point, by its reason and by whether its record is linked.
fn answers_to(point: &Point) -> Vec<AnswerWord> {
    let fits = |word: &&AnswerWord| match word {
        AnswerWord::Link | AnswerWord::New | AnswerWord::LeaveAlone | AnswerWord::Again => !point.is_linked(),
        AnswerWord::Take | AnswerWord::Keep | AnswerWord::Restore | AnswerWord::Delete => point.is_linked(),
    };
    guide(&point.reason).answers.iter().filter(fits).copied().collect()
}

/// Everything about one record.
///
/// # Errors
/// Nothing is open about it.
pub async fn show(app: &App, tenant: &str, flow: &str, record: &str) -> Result<RecordInNeed, Failure> {
    let known = get(app, tenant, flow).await?;
    let filter = PointFilter { record: record.to_owned(), ..PointFilter::default() };
    let points = app.store().points(tenant, flow, filter.query(app, tenant, flow, &Fields(vec![])).await?).await?;
    let Some(first) = points.first().cloned() else {
        return Err(Failure::input(
            "attention.nothing",
            format!("nothing is open about record {record} in flow `{flow}`"),
            format!("its story: crmsync log {flow} --record {record}"),
        ));
    };
    let (side, id) = first.place();
    let store = app.store();
    let link = store.link_of(tenant, first.pair, side, id).await?;
    let (mut values, mut candidates) = (Vec::new(), Vec::new());
    match &link {
        Some(link) => {
            let shown =
                |base: &Option<crmsync_core::Base>| base.as_ref().map_or(String::new(), |base| read(&base.values));
            values.extend(link.bases.iter().map(|(row, bases)| FieldShown {
                field: row.clone(),
                left: shown(&bases.left),
                right: shown(&bases.right),
            }));
        }
        None => {
            if let Some(row) = store.unlinked_record(tenant, first.pair, side, id).await? {
                values.extend(row.image.iter().map(|(field, value)| {
                    let (left, right) = match side {
                        Side::Left => (value.display(), String::new()),
                        Side::Right => (String::new(), value.display()),
                    };
                    FieldShown { field: field.clone(), left, right }
                }));
            }
            candidates = store.candidates(tenant, first.pair, side, id).await?.into_iter().map(candidate).collect();
        }
    }
    values.retain(|field| !(field.left.is_empty() && field.right.is_empty()));
    let points = points.into_iter().map(|point| {
        let guide = guide(&point.reason);
        PointShown { answers: answers_to(&point), point, meaning: guide.meaning, fix: guide.fix }
    });
    Ok(RecordInNeed {
        between: sides_of(&known),
        left_module: first.left_module.clone(),
        right_module: first.right_module.clone(),
        left: first.left.clone(),
        right: first.right.clone(),
        points: points.collect(),
        values,
        candidates,
    })
}

fn candidate(row: InboxRow) -> Candidate {
    let values = row.image.iter().map(|(field, value)| (field.clone(), value.display()));
    Candidate { record: row.record, values: values.filter(|(_, value)| !value.is_empty()).collect() }
}

fn read(values: &[Value]) -> String {
    values.iter().map(Value::display).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The records of the points that a filter means, one page, for people who want to see them before they answer for all.
///
/// # Errors
/// There is no such flow.
pub async fn points(
    app: &App,
    tenant: &str,
    flow: &str,
    filter: &PointFilter,
    skip: usize,
    most: usize,
) -> Result<Vec<Point>, Failure> {
    get(app, tenant, flow).await?;
    let query = filter.query(app, tenant, flow, &Fields::of(app, tenant, flow).await?).await?;
    let query = PointQuery { skip, most, ..query };
    Ok(app.store().points(tenant, flow, query).await?)
}

/// What a person says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The answer.
    pub word: AnswerWord,
    /// Its object: the record of `link`, the connection of `take`.
    pub with: Option<String>,
}

/// What an answer did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// Points that were answered.
    pub done: u64,
    /// Points that could not be, with the reason; the first ones.
    pub refused: Vec<String>,
    /// How many could not be.
    pub refused_count: u64,
}

impl Answered {
    fn refuse(&mut self, point: &Point, said: &Said, obstacle: &Obstacle) {
        self.refuse_as(point, &obstacle_words(point, said, obstacle));
    }

    fn refuse_as(&mut self, point: &Point, why: &str) {
        self.refused_count += 1;
        if self.refused.len() < REFUSALS_TOLD_MAX {
            self.refused.push(format!("{}: {why}", named(point)));
        }
    }
}

/// Those of the points whose surviving record the flow can move to a bin; the others are refused.
async fn deletable<'a>(
    app: &App,
    tenant: &str,
    resolved: &Resolved,
    points: Vec<&'a Point>,
    answered: &mut Answered,
) -> Result<Vec<&'a Point>, Failure> {
    let mut can_go = Vec::with_capacity(points.len());
    for point in points {
        let (side, record) = point.place();
        let link = app.store().link_of(tenant, point.pair, side, record).await?;
        let gone = link.and_then(|link| link.removed);
        let why_not =
            gone.and_then(|gone| resolved.why_not_delete([&point.left_module, &point.right_module], gone.other()));
        match why_not {
            Some(why) => answered.refuse_as(point, &why),
            None => can_go.push(point),
        }
    }
    Ok(can_go)
}

/// Answers all points that the filter means. The next run carries it out.
///
/// # Errors
/// The filter means nothing or everything, the answer lacks its object, a run is going on.
pub async fn decide(
    app: &App,
    tenant: &str,
    flow: &str,
    filter: &PointFilter,
    said: &Said,
) -> Result<Answered, Failure> {
    let known = get(app, tenant, flow).await?;
    let answer = answer(&sides_of(&known), said)?;
    let resolved = match &answer {
        Answer::Take(_) | Answer::Delete => Some(open(app, tenant, flow, Metadata::Recent).await?.1),
        _ => None,
    };
    let lease = take_soon(app, tenant, flow).await?;
    let outcome = journalled(app, &lease, "decided", async |run| {
        // Under the lease: what a run has settled meanwhile is not answered any more.
        let points = chosen(app, tenant, flow, filter).await?;
        if let Answer::Link(with) = &answer {
            let one_record = "`link` is an answer for one record";
            if points.iter().any(|point| point.place() != points[0].place()) {
                return Err(Failure::input("attention.one_record", one_record, "name it with --record"));
            }
            let (side, _) = points[0].place();
            let module = if side == Side::Left { &points[0].right_module } else { &points[0].left_module };
            exists(app, tenant, &sides_of(&known)[side.other() as usize], module, with).await?;
        }
        let mut answered = Answered::default();
        for points in points.chunks(POINTS_AT_ONCE) {
            let may_take = |point: &Point| match (&resolved, &answer) {
                (Some(resolved), Answer::Take(from)) => {
                    resolved.writes([&point.left_module, &point.right_module], &point.field, from.other())
                }
                _ => true,
            };
            let fits = |point: &&Point| answers_to(point).contains(&said.word) && may_take(point);
            let (points, misfits): (Vec<&Point>, Vec<&Point>) = points.iter().partition(fits);
            misfits.into_iter().for_each(|point| answered.refuse(point, said, &Obstacle::DoesNotFit));
            let points = match (&resolved, &answer) {
                (Some(resolved), Answer::Delete) => deletable(app, tenant, resolved, points, &mut answered).await?,
                _ => points,
            };
            let given = points.iter().copied().cloned().collect();
            let outcomes = app.store().decide_points(&lease, run, given, answer.clone(), app.now_ms()).await?;
            for (point, outcome) in points.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => answered.done += 1,
                    Err(obstacle) => answered.refuse(point, said, &obstacle),
                }
            }
            app.store().renew_lease(&lease, app.now_ms(), operator::lease_ms()).await?;
        }
        Ok(answered)
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}

fn named(point: &Point) -> String {
    let ids = [&point.left, &point.right].into_iter().filter(|id| !id.is_empty()).cloned().collect::<Vec<_>>();
    let field = if point.field.is_empty() { String::new() } else { format!(" {}", point.field) };
    format!("{}{field}", ids.join(" and "))
}

fn obstacle_words(point: &Point, said: &Said, obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Linked(left, right) => {
            format!("{left} and {right} are linked already; `crmsync unlink` them first if that is wrong")
        }
        Obstacle::UnderWay => "a write of it is under way; run the flow first, then answer".to_owned(),
        Obstacle::NotLinked => "it is in no link".to_owned(),
        Obstacle::Gone => "it is not there any more".to_owned(),
        Obstacle::Parked => "a create of it waits for an answer: `attention show` it first".to_owned(),
        Obstacle::DoesNotFit => {
            let (word, reason) = (said.word.as_str(), &point.reason);
            if answers_to(point).contains(&said.word) && said.word == AnswerWord::Take {
                return "the flow does not write this field to the other side".to_owned();
            }
            if said.word == AnswerWord::LeaveAlone && point.is_linked() {
                return "it is linked; end that with `crmsync unlink` if it is not to be synced any more".to_owned();
            }
            match answers_to(point).iter().map(|answer| answer.as_str()).collect::<Vec<_>>().as_slice() {
                [] => format!("`{word}` is no answer to {reason}; what helps: `attention show`"),
                fits => format!("`{word}` is no answer to {reason}; answers are {}", fits.join(", ")),
            }
        }
    }
}

fn answer(between: &[String; 2], said: &Said) -> Result<Answer, Failure> {
    let lacks = |what: &str, hint: String| {
        Failure::input("attention.answer", format!("`{}` lacks {what}", said.word.as_str()), hint)
    };
    if said.with.is_some() && !matches!(said.word, AnswerWord::Link | AnswerWord::Take) {
        return Err(Failure::input(
            "attention.answer",
            format!("`{}` stands alone", said.word.as_str()),
            "only `link ID` and `take CONNECTION` have an object",
        ));
    }
    Ok(match said.word {
        AnswerWord::Link => match &said.with {
            Some(id) => Answer::Link(id.clone()),
            None => return Err(lacks("the record", "write link ID, with the id on the other side".into())),
        },
        AnswerWord::Take => {
            let names = format!("write take {} or take {}", between[0], between[1]);
            let connection = said.with.as_ref().ok_or_else(|| lacks("the connection", names.clone()))?;
            match between.iter().position(|name| name == connection) {
                Some(0) => Answer::Take(Side::Left),
                Some(_) => Answer::Take(Side::Right),
                None => {
                    let message = format!("`{connection}` is none of the flow's connections");
                    return Err(Failure::input("attention.answer", message, names));
                }
            }
        }
        AnswerWord::New => Answer::New,
        AnswerWord::LeaveAlone => Answer::LeaveAlone,
        AnswerWord::Keep => Answer::Keep,
        AnswerWord::Again => Answer::Again,
        AnswerWord::Restore => Answer::Restore,
        AnswerWord::Delete => Answer::Delete,
    })
}

/// Puts the records of all points that the filter means before the next run again, as after a fix. Gives how many records. What was
/// mended may be a right, a field or a user of a CRM, so that the next run asks both what they say of themselves.
///
/// # Errors
/// The filter means nothing, or a run is going on.
pub async fn retry(app: &App, tenant: &str, flow: &str, filter: &PointFilter) -> Result<u64, Failure> {
    let known = get(app, tenant, flow).await?;
    let lease = take_soon(app, tenant, flow).await?;
    let outcome = async {
        let mut points = chosen(app, tenant, flow, filter).await?;
        let mut records = 0;
        while !points.is_empty() {
            let rest = points.split_off(points.len().min(POINTS_AT_ONCE));
            records += app.store().retry_points(&lease, std::mem::replace(&mut points, rest)).await?;
        }
        for connection in sides_of(&known) {
            app.store().forget_metadata(tenant, &connection).await?;
        }
        Ok(records)
    }
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}

async fn chosen(app: &App, tenant: &str, flow: &str, filter: &PointFilter) -> Result<Vec<Point>, Failure> {
    if filter.is_open() {
        return Err(Failure::input(
            "attention.which",
            "it is not said which records are meant",
            "name one with --record, or all of a reason with --reason; see: crmsync attention list",
        ));
    }
    let query = filter.query(app, tenant, flow, &Fields::of(app, tenant, flow).await?).await?;
    let points = app.store().points(tenant, flow, query).await?;
    if points.is_empty() {
        return Err(Failure::input(
            "attention.nothing",
            "nothing is open that fits",
            format!("what is open: crmsync attention list {flow} --all"),
        ));
    }
    Ok(points)
}
