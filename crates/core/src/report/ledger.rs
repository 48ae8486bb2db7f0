//! The node's ledger for a person at a terminal: where the memory is, what is reserved, how far evictions are, who would go.

mod parts;
mod who_goes;

use super::TextOptions;
use super::inspection::gaps;
use super::page::Page;
use super::style::Role;
use crate::ledger::{Distance, Ledger, Pressure, Reservation};
use crate::text::name_in_text;
use crate::units::{Bytes, Limit};

/// The ledger, with at most `count` lines of each list. Ends with a newline.
#[must_use]
pub fn render(ledger: &Ledger, count: usize, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    title(&mut page, ledger);
    parts::write(&mut page, ledger, count);
    reservation(&mut page, &ledger.reservation);
    pressure(&mut page, &ledger.pressure);
    who_goes::evictions(&mut page, ledger, count);
    who_goes::kills(&mut page, ledger, count);
    gaps(&mut page, &ledger.gaps);
    page.finish()
}

/// The answer in two lines.
fn title(page: &mut Page, ledger: &Ledger) {
    let whose = ledger.node.as_ref().map_or_else(|| "this machine".to_owned(), |node| name_in_text(node.as_bytes()));
    let free = ledger.part("free").map(|free| format!(", {} free", free.amount())).unwrap_or_default();
    let line = page.text(&format!("{whose}: {} of memory{free}", ledger.total_bytes));
    let line = page.paint(Role::Strong, &line);
    page.raw(&line);
    let nearest = [("hard", ledger.pressure.hard), ("soft", ledger.pressure.soft)];
    let nearest = nearest.into_iter().filter_map(|(kind, distance)| Some((kind, distance?)));
    let Some((kind, distance)) = nearest.min_by_key(|(_, distance)| distance.left_bytes) else { return };
    let (role, text) = if distance.is_crossed() {
        let by = Bytes(distance.left_bytes.unsigned_abs());
        (Role::Verdict, format!("The {kind} eviction threshold is crossed by {by}: the kubelet evicts pods."))
    } else {
        (
            Role::Plain,
            format!("{} more until the {kind} eviction threshold is met.", Bytes(distance.left_bytes.unsigned_abs())),
        )
    };
    page.paragraph(role, 0, &text);
}

fn reservation(page: &mut Page, reservation: &Reservation) {
    let Some(outside) = reservation.outside_kubepods_bytes else { return };
    page.heading("WHAT IS RESERVED, AND WHAT IS USED OF IT", "");
    let fact = |bytes: Option<Bytes>, what: &str| bytes.map(|bytes| format!("{bytes} {what}"));
    let list = |facts: Vec<Option<String>>| facts.into_iter().flatten().collect::<Vec<_>>();
    page.facts("capacity", Role::Plain, &list(vec![fact(reservation.capacity_bytes, "")]));
    page.facts(
        "reserved",
        Role::Plain,
        &list(vec![
            fact(reservation.kube_reserved_bytes, "for kubelet and runtime"),
            fact(reservation.system_reserved_bytes, "for the system"),
        ]),
    );
    let limit = reservation.kubepods_limit_bytes.map(|limit| match limit {
        Limit::At(limit) => format!("{limit} may be in use together (limit of kubepods)"),
        Limit::Unlimited => "no limit on what they use together".to_owned(),
    });
    page.facts(
        "for pods",
        Role::Plain,
        &list(vec![fact(reservation.allocatable_bytes, "may be requested (allocatable)"), limit]),
    );
    page.facts(
        "outside",
        Role::Plain,
        &list(vec![
            Some(format!("{outside} in use outside of kubepods")),
            fact(reservation.outside_kubepods_unreclaimable_bytes, "of it cannot be taken back"),
        ]),
    );
    let Some(beyond) = reservation.beyond_reservation_bytes else { return };
    let amount = Bytes(beyond.unsigned_abs());
    if beyond > 0 {
        let text = format!(
            "{amount} more than is kept from pods: pods that stay within their requests can run the machine out of memory. Raise \
             systemReserved or kubeReserved."
        );
        page.paragraph(Role::Verdict, 0, &text);
    } else {
        page.paragraph(Role::Plain, 0, &format!("{amount} of what is kept from pods is left."));
    }
}

fn pressure(page: &mut Page, pressure: &Pressure) {
    let Some((available, working_set)) = pressure.available_bytes.zip(pressure.working_set_bytes) else { return };
    let thresholds = [("hard", pressure.hard), ("soft", pressure.soft), ("pods", pressure.allocatable)];
    if thresholds.iter().all(|(_, distance)| distance.is_none()) {
        return;
    }
    page.heading("HOW FAR EVICTION IS", "by the kubelet's own measure");
    page.facts(
        "available",
        Role::Plain,
        &[available.to_string(), format!("{working_set} in its working set: processes, and page cache in use")],
    );
    for (name, distance) in thresholds {
        if let Some(distance) = distance {
            threshold(page, name, &distance);
        }
    }
}

fn threshold(page: &mut Page, name: &str, distance: &Distance) {
    let left = Bytes(distance.left_bytes.unsigned_abs());
    let of_pods = if name == "pods" { " below the limit of kubepods" } else { "" };
    let text = format!("threshold of {}{of_pods}", distance.threshold_bytes);
    if distance.is_crossed() {
        page.facts(name, Role::Verdict, &[text, format!("crossed by {left}")]);
    } else {
        page.facts(name, Role::Plain, &[text, format!("{left} left")]);
    }
}

#[cfg(test)]
mod tests;
