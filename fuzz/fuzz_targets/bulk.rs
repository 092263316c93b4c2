//! Bulk messages (RFC 7644 section 3.7): whatever the body, it is refused with a 4xx, or its operations get an order in
//! which each stands exactly once and none before what it refers to, and their references can be resolved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::bulk;
use scim::resource::{Notes, Strictness};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let strictness = if choice & 1 == 0 { Strictness::Tolerant } else { Strictness::Strict };
    let mut request = match bulk::parse(body, 100, strictness, &mut Notes::default()) {
        Ok(request) => request,
        Err(error) => return assert!((400..500).contains(&error.status), "{error}"),
    };
    let units = request.units();
    let mut order: Vec<usize> = units.iter().flatten().copied().collect();
    for (place, unit) in units.iter().enumerate() {
        for index in unit {
            for needed in &request.operations[*index].refers {
                let needed = units.iter().position(|unit| unit.contains(needed)).unwrap();
                assert!(needed <= place, "an operation stands before what it refers to");
            }
        }
    }
    order.sort_unstable();
    assert!(order.into_iter().eq(0..request.operations.len()), "an operation is missing or stands twice");
    request.resolve(|index| Some((format!("id-{index}"), format!("https://id.kommun.example/{index}"))));
    assert!(request.operations.iter().all(|operation| {
        operation.fault.as_ref().is_none_or(|fault| (400..500).contains(&fault.status))
    }));
});
