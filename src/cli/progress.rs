//! A bar for each stage of a long command, on standard error and only before a person's eyes.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar with a label; hidden where a machine listens.
pub(super) fn bar(json: bool, label: &'static str, length: usize) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(u64::try_from(length).ok(), target).with_message(label);
    match ProgressStyle::with_template("{msg:<28} {bar:40} {pos:>6}/{len} {per_sec:>12}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What the store tells its progress to: a bar for each stage, one after the other.
pub(super) fn stages(json: bool) -> impl FnMut(&'static str, u64, u64) + Send + 'static {
    let mut shown: Option<(&'static str, ProgressBar)> = None;
    move |stage, done, total| {
        if shown.as_ref().is_none_or(|(known, _)| *known != stage) {
            if let Some((_, bar)) = shown.take() {
                bar.finish();
            }
            shown = Some((stage, bar(json, stage, 0)));
        }
        if let Some((_, bar)) = &shown {
            bar.set_length(total.max(done));
            bar.set_position(done);
            if done >= total {
                bar.finish();
            }
        }
    }
}
