//! Looking for people and groups: filters, pages, order.

use serde_json::Value;

use super::{
    Projection, Scim, Speaker,
    filter::{Among, compile, order, parse},
    groups::{GROUP_COLUMNS, GroupRow},
    users::{USER_COLUMNS, USERS, UserRow},
};
use crate::{
    base::Result,
    store::{Arg, Query},
};

/// How many resources a page has where nobody says.
const PAGE: usize = 100;
/// How many it has at most.
pub const MOST: usize = 500;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct ListWish {
    /// The filter.
    pub filter: Option<String>,
    /// From which on, the first being 1.
    pub start_index: Option<i64>,
    /// How many.
    pub count: Option<i64>,
    /// By which attribute they are put in order.
    pub sort_by: Option<String>,
    /// Whether the last comes first.
    pub descending: bool,
    /// Which attributes are answered.
    pub projection: Projection,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Listed {
    /// How many there are in all.
    pub total: i64,
    /// The number of the first that is answered.
    pub start_index: i64,
    /// The resources.
    pub resources: Vec<Value>,
}

/// Rows to pass over, and rows to take.
#[derive(Clone, Copy)]
struct Window {
    skip: i64,
    take: i64,
}

impl ListWish {
    /// One that is too low is the lowest, and a page that is too long is the longest.
    fn window(&self) -> Window {
        let most = i64::try_from(MOST).unwrap_or(i64::MAX);
        let page = i64::try_from(PAGE).unwrap_or(most);
        Window {
            skip: self.start_index.unwrap_or(1).max(1).saturating_sub(1),
            take: self.count.unwrap_or(page).clamp(0, most),
        }
    }
}

impl Scim {
    /// People of a connection.
    ///
    /// # Errors
    /// `invalidFilter`; `invalidValue` for an order by what nothing is put in order by.
    pub async fn list_users(&self, speaker: &Speaker, wish: &ListWish) -> Result<Listed> {
        self.look(speaker).await?;
        let found = self.found(speaker, wish, Among::People, false).await?;
        let resources = self.users_in(speaker, wish, &found, wish.window()).await?;
        Ok(Listed { total: found.total, start_index: wish.window().skip + 1, resources })
    }

    /// Groups of a connection.
    ///
    /// # Errors
    /// As [`Self::list_users`].
    pub async fn list_groups(&self, speaker: &Speaker, wish: &ListWish) -> Result<Listed> {
        self.look(speaker).await?;
        let found = self.found(speaker, wish, Among::Groups, false).await?;
        let resources = self.groups_in(speaker, wish, &found, wish.window()).await?;
        Ok(Listed { total: found.total, start_index: wish.window().skip + 1, resources })
    }

    /// People and groups of a connection, people first.
    ///
    /// # Errors
    /// As [`Self::list_users`].
    pub async fn search(&self, speaker: &Speaker, wish: &ListWish) -> Result<Listed> {
        self.look(speaker).await?;
        let people = self.found(speaker, wish, Among::People, true).await?;
        let groups = self.found(speaker, wish, Among::Groups, true).await?;
        let window = wish.window();
        let mut resources = self.users_in(speaker, wish, &people, window).await?;
        let left = window.take - i64::try_from(resources.len()).unwrap_or(window.take);
        let rest = Window { skip: (window.skip - people.total).max(0), take: left };
        resources.extend(self.groups_in(speaker, wish, &groups, rest).await?);
        Ok(Listed { total: people.total + groups.total, start_index: window.skip + 1, resources })
    }

    async fn found(&self, speaker: &Speaker, wish: &ListWish, among: Among, lenient: bool) -> Result<Found> {
        let mut condition = "u.connection = $1 AND u.deleted_at IS NULL".to_owned();
        let mut args: Vec<Arg> = vec![(&speaker.connection.name).into()];
        if let Some(text) = &wish.filter {
            let compiled = compile(&parse(text)?, among, 2, lenient)?;
            condition = format!("{condition} AND ({})", compiled.text);
            args.extend(compiled.args);
        }
        let order = match wish.sort_by.as_deref().map(|by| order(among, by)) {
            None => "u.id".to_owned(),
            // Another kind of resource may know it.
            Some(Err(_)) if lenient => "u.id".to_owned(),
            Some(column) => format!("{} {}, u.id", column?, if wish.descending { "DESC" } else { "ASC" }),
        };
        let from = if among == Among::People { USERS } else { "FROM scim_groups u" };
        let text = format!("SELECT CAST(count(*) AS BIGINT) {from} WHERE {condition}");
        let total: Option<(i64,)> =
            self.parts().database.fetch_optional(Query::composed(text, args.clone())).await?;
        Ok(Found {
            total: total.map_or(0, |(n,)| n),
            rest: format!("{from} WHERE {condition} ORDER BY {order}"),
            args,
        })
    }

    async fn users_in(
        &self,
        speaker: &Speaker,
        wish: &ListWish,
        found: &Found,
        window: Window,
    ) -> Result<Vec<Value>> {
        let Some(query) = found.page(USER_COLUMNS, window) else { return Ok(Vec::new()) };
        let rows: Vec<UserRow> = self.parts().database.fetch_all(query).await?;
        let groups = if wish.projection.shows("groups") {
            self.groups_of(&rows).await?
        } else {
            rows.iter().map(|_| Vec::new()).collect()
        };
        rows.iter()
            .zip(&groups)
            .map(|(row, groups)| {
                let answer = self.user_answer(speaker, row, groups, &wish.projection)?;
                Ok(answer.body.unwrap_or_default())
            })
            .collect()
    }

    async fn groups_in(
        &self,
        speaker: &Speaker,
        wish: &ListWish,
        found: &Found,
        window: Window,
    ) -> Result<Vec<Value>> {
        let Some(query) = found.page(GROUP_COLUMNS, window) else { return Ok(Vec::new()) };
        let rows: Vec<GroupRow> = self.parts().database.fetch_all(query).await?;
        let members = self.members_of(&rows, &wish.projection).await?;
        let answers = rows.iter().zip(&members);
        Ok(answers
            .map(|(row, members)| {
                self.group_answer(speaker, row, members, &wish.projection).body.unwrap_or_default()
            })
            .collect())
    }
}

/// How many rows there are, and how they are read.
struct Found {
    total: i64,
    rest: String,
    args: Vec<Arg>,
}

impl Found {
    /// The rows of a page; nothing where it is empty anyway.
    fn page(&self, columns: &str, window: Window) -> Option<Query> {
        if window.take <= 0 || window.skip >= self.total {
            return None;
        }
        let first = self.args.len() + 1;
        let text = format!("SELECT {columns} {} LIMIT ${first} OFFSET ${}", self.rest, first + 1);
        let mut args = self.args.clone();
        args.push(window.take.into());
        args.push(window.skip.into());
        Some(Query::composed(text, args))
    }
}
