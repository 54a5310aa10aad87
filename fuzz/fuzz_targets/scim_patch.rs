//! Operations of SCIM leave what the schema would read, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use port_control::identity::scim::{
    patch::{apply, read},
    schema::PEOPLE,
};
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    let Ok(Value::Object(body)) = serde_json::from_str(text) else { return };
    let Ok(operations) = read(&PEOPLE, &body) else { return };
    let mut resource = Map::new();
    if operations.iter().all(|operation| apply(&PEOPLE, &mut resource, operation).is_ok()) {
        assert_eq!(PEOPLE.read(&resource).ok(), Some(resource));
    }
});
