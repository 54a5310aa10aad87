//! A group's row, and its members'.

use serde_json::{Map, Value, json};

use crate::{
    base::{Name, Timestamp},
    identity::scim::{
        render::{self, Meta},
        schema::GROUP,
    },
    store::Query,
};

/// Every column of a group that is shown.
pub(in crate::identity::scim) const COLUMNS: &str =
    "u.id, u.group_id, u.external_id, u.display_name, u.version, u.created_at, u.changed_at";

/// A group as this connection has it.
#[derive(sqlx::FromRow)]
pub(in crate::identity::scim) struct GroupRow {
    pub(in crate::identity::scim) id: String,
    /// What files declare an alias for.
    pub(in crate::identity::scim) group_id: String,
    pub(in crate::identity::scim) external_id: Option<String>,
    pub(in crate::identity::scim) display_name: String,
    pub(in crate::identity::scim) version: i64,
    created_at: i64,
    changed_at: i64,
}

/// A member of a group.
#[derive(sqlx::FromRow)]
pub(in crate::identity::scim) struct MemberRow {
    pub(in crate::identity::scim) group_id: String,
    user_id: String,
}

/// One that is not gone.
pub(in crate::identity::scim) fn by_id(connection: &Name, id: &str) -> Query {
    let text = format!(
        "SELECT {COLUMNS} FROM scim_groups u WHERE u.id = $1 AND u.connection = $2 AND u.deleted_at IS NULL"
    );
    Query::composed(text, vec![id.replace('\0', "").into(), connection.to_string().into()])
}

/// The entity tag of a version.
pub(super) fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

impl GroupRow {
    /// Moves with its name and its members.
    pub(in crate::identity::scim) fn etag(&self) -> String {
        etag(self.version)
    }

    pub(in crate::identity::scim) fn rendered(
        &self,
        members: &[MemberRow],
        location: &str,
        address: impl Fn(&str) -> String,
    ) -> Value {
        let mut body = Map::new();
        body.insert("displayName".to_owned(), self.display_name.as_str().into());
        if let Some(id) = &self.external_id {
            body.insert("externalId".to_owned(), id.as_str().into());
        }
        if !members.is_empty() {
            let members = members
                .iter()
                .map(|it| json!({ "value": it.user_id, "type": "User", "$ref": address(&it.user_id) }));
            body.insert("members".to_owned(), members.collect());
        }
        let meta = Meta {
            kind: "Group",
            created: Timestamp::from_millis(self.created_at),
            changed: Timestamp::from_millis(self.changed_at),
            etag: &self.etag(),
            location,
        };
        render::resource(&self.id, &[GROUP], body, &meta)
    }
}
