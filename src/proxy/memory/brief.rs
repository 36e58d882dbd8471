//! A text in a place of fixed size.

/// The beginning of a text, and how long it was. Two that differ only beyond their places are told
/// apart by their lengths alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief<const PLACES: usize> {
    length: u8,
    text: [u8; PLACES],
}

// === impl Brief ===

impl<const PLACES: usize> Brief<PLACES> {
    /// As much of `text` as there is room for.
    pub fn of(text: &[u8]) -> Self {
        let kept = text.len().min(PLACES);
        let mut brief = Self { length: text.len().min(255) as u8, text: [0; PLACES] };
        brief.text[..kept].copy_from_slice(&text[..kept]);
        brief
    }

    /// The text; a mark where something is left out.
    pub fn text(&self) -> String {
        let length = usize::from(self.length);
        let kept = String::from_utf8_lossy(&self.text[..length.min(PLACES)]);
        if length > PLACES { format!("{kept}…") } else { kept.into_owned() }
    }
}
