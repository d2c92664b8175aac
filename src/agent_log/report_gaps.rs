//! The gaps of reports: if steps or runs cannot be added to the roll-ups because a sum overflows or a stored
//! value is damaged, the other groups are added without them. A group consists of the steps or runs of one
//! agent of one owner on one day. The view `rag.report_gaps` lists the groups that were left out.

use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run};

/// A group of steps or runs to add.
#[derive(Debug, Clone)]
pub struct Group {
    day: String,
    owner: String,
    agent: String,
    count: i64,
}

impl Group {
    /// The groups that a query has found: day, owner, agent and number of rows.
    pub fn read(rows: &Rows) -> Vec<Self> {
        let group = |row| {
            Some(Self {
                day: rows.text(row, 0)?,
                owner: rows.text(row, 1)?,
                agent: rows.text(row, 2)?,
                count: rows.int8(row, 3)?,
            })
        };
        (0..rows.count).filter_map(group).collect()
    }

    /// True if both are the same group; the numbers of rows may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.day, &self.owner, &self.agent) == (&other.day, &other.owner, &other.agent)
    }
}

/// The condition that a step or run belongs to one of these groups. The statement's arguments for the groups
/// begin with number `first`.
pub fn condition(alias: &str, first: usize) -> String {
    format!(
        "(({alias}.started AT TIME ZONE 'UTC')::date, {alias}.owner, left({alias}.agent, 150))
         IN (SELECT g.day::date, g.owner::name, g.agent FROM unnest(${first}::text[], ${}::text[], ${}::text[]) g (day, owner, agent))",
        first + 1,
        first + 2
    )
}

/// The arguments of [`condition`].
pub fn arguments(groups: &[Group]) -> [Arg; 3] {
    let texts = |text: fn(&Group) -> &String| Arg::texts(groups.iter().map(text));
    [texts(|group| &group.day), texts(|group| &group.owner), texts(|group| &group.agent)]
}

/// True if other groups may succeed although this work failed.
pub fn is_of_a_group(error: &Error) -> bool {
    blame(error) == Blame::Row
}

/// Adds the groups, as many in one call as possible, and returns those that cannot be added, each with its
/// error.
pub fn add_each(groups: &[Group], add: &dyn Fn(&[Group]) -> Result<()>) -> Result<Vec<(Group, Error)>> {
    let error = match in_subtransaction(|| add(groups)) {
        Ok(()) => return Ok(Vec::new()),
        Err(error) if !is_of_a_group(&error) => return Err(error),
        Err(error) => error,
    };
    match groups {
        [] => Err(error),
        [only] => Ok(vec![(only.clone(), error)]),
        _ => {
            let (first, second) = groups.split_at(groups.len() / 2);
            let mut failed = add_each(first, add)?;
            failed.extend(add_each(second, add)?);
            Ok(failed)
        }
    }
}

/// Records that the rows of these groups are missing from the reports.
pub fn note(kind: &str, failed: &[(Group, Error)]) -> Result<()> {
    let statement = "
        INSERT INTO rag._report_gap AS g (day, owner, agent, kind, missing, sqlstate, message, noted_at)
        VALUES ($1::date, $2::name, $3, $4, $5, $6, $7, clock_timestamp())
        ON CONFLICT (day, owner, agent, kind) DO UPDATE
        SET missing = least(g.missing::numeric + excluded.missing, 9223372036854775807)::bigint,
            sqlstate = excluded.sqlstate, message = excluded.message, noted_at = excluded.noted_at";
    for (group, error) in failed {
        let arguments = [
            Arg::text(&group.day),
            Arg::text(&group.owner),
            Arg::text(&group.agent),
            Arg::text(kind),
            Arg::new(group.count),
            Arg::text(&error.code()),
            Arg::text(&error.message),
        ];
        run(statement, &arguments)?;
    }
    Ok(())
}
