//! Leases whose holder is in none of the groups any more that allowed them.

use super::super::{
    house::House,
    lease_rights::{Allowing, lost},
};
use crate::{base::ids::LeaseId, store::sql};

#[tokio::test]
async fn a_lease_goes_with_the_connection_that_said_its_holders_groups() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let lender = r#"{"name":"lender","members":{"groups":["engineering"]},
        "allows":[{"actions":["lease"],"applications":"all","environments":"all"}]}"#;
    let lease: LeaseId = house.ambient.id();
    let connection = "INSERT INTO scim_connections (name, version, provider, issuer, link_attribute, link_claim, \
         authoritative, may_reactivate, writable_groups, breaker_share, breaker_number, breaker_window, created_at) \
         VALUES ('idp', 1, 'sso', 'https://idp.example.com', 'externalId', 'sub', $1, $1, '[]', 5, 10, 1, 0)";
    house
        .seed(vec![
            sql("INSERT INTO declared (kind, name, source, body) VALUES ('TrustScope', 'lender', 'test', $1)")
                .bind(lender),
            sql("UPDATE catalog SET version = version + 1"),
            sql(connection).bind(false),
            sql("INSERT INTO leases (id, principal, application, environment, role, protected, mount, engine_role, \
                 scope, state, created_at, ends_at, limit_at) VALUES ($1, $2, 'reports', 'production', 'reader', 1, \
                 'database', 'reader', 'lender', 'live', 0, 0, 0)")
            .bind(lease)
            .bind(dana),
        ])
        .await;
    let now = house.ambient.now();
    let gone = async || {
        let by = Allowing { declared: house.catalog.snapshot().await.unwrap(), issuers: Vec::new() };
        lost(&house.database, &by, now).await.unwrap()
    };
    assert_eq!(gone().await, []);
    house.seed(vec![sql("UPDATE scim_connections SET disabled_at = 1")]).await;
    assert_eq!(gone().await, [lease]);
}
