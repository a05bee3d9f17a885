//! Signatures of links: one text opens the invite, and no other.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use spl_fuzz::Stage;
use spl_projections::invites::{is_invite_id, link, opens};

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
static GENUINE: LazyLock<String> = LazyLock::new(|| {
    let link = link(&STAGE.key, STAGE.invite());
    link.split_once("?sig=").expect("a signature").1.to_owned()
});

fuzz_target!(|text: &str| {
    let opened = opens(&STAGE.key.public(), STAGE.invite(), text);
    assert_eq!(opened, text == *GENUINE, "{text}");
    if is_invite_id(text) {
        assert_eq!(text.len(), 20);
    }
    // The same text, a little changed, so that what the fuzzer sends is close to what opens.
    let changes = text.char_indices().take(4).zip(text.bytes().rev());
    let mut near = GENUINE.clone().into_bytes();
    for ((at, _), byte) in changes {
        let at = at.wrapping_mul(31).wrapping_add(usize::from(byte)) % near.len();
        near[at] = byte;
    }
    if let Ok(near) = String::from_utf8(near) {
        assert_eq!(opens(&STAGE.key.public(), STAGE.invite(), &near), near == *GENUINE, "{near}");
    }
});
