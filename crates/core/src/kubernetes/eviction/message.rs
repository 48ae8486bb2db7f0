//! The kubelet's sentences about an eviction, in the pod's status and in its event.
//!
//! Source: pkg/kubelet/eviction/helpers.go, the `…MessageFmt` constants: 1.35 back to 1.9. The usage that they name is that of the
//! kubelet's last sample, which is up to 10 s old.

use serde::{Deserialize, Serialize};

use crate::kubernetes::Quantity;

/// Sentences that are read; the kubelet writes one for each container.
const MOST_SENTENCES: usize = 256;

/// Why a pod was evicted, as its message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum EvictionCause {
    /// The node ran short of something.
    LowOnResource(EvictionMessage),
    /// The pod was refused at its start because the node had a condition: `MemoryPressure`. It never ran.
    RefusedForCondition {
        /// As the kubelet names it.
        condition: String,
    },
    /// An `emptyDir`, also one in memory, outgrew its `sizeLimit`.
    EmptyDirLimit {
        /// Name of the volume.
        volume: String,
        /// Its `sizeLimit`.
        limit: Option<Quantity>,
    },
    /// Too much on disk: nothing about memory.
    EphemeralStorage,
}

/// `The node was low on resource: …`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictionMessage {
    /// `memory`, `ephemeral-storage`, `inodes`, `pids`.
    pub resource: String,
    /// The threshold that was crossed (1.26 and newer).
    pub threshold: Option<Quantity>,
    /// What was available then (1.26 and newer). Above the threshold: another threshold of the same resource was meant, or it
    /// was met a moment before.
    pub available: Option<Quantity>,
    /// Containers over their request, by the kubelet's last sample.
    pub containers: Vec<EvictedUsage>,
    /// The pod as a whole, where it has resources of its own (1.34 and newer).
    pub pod: Option<EvictedUsage>,
}

/// `Container x was using 4916Ki, request is 0`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictedUsage {
    /// Of the container or pod.
    pub name: String,
    /// Working set.
    pub usage: Option<Quantity>,
    /// What it requested.
    pub request: Option<Quantity>,
}

impl EvictionCause {
    /// Reads a message; `None` where it is not one of an eviction by the kubelet.
    #[must_use]
    pub fn parse(message: &str) -> Option<Self> {
        if let Some(low) = EvictionMessage::parse(message) {
            return Some(Self::LowOnResource(low));
        }
        let message = message.trim();
        if let Some(condition) = between(message, "The node had condition: [", "]") {
            return Some(Self::RefusedForCondition { condition: condition.to_owned() });
        }
        if let Some(rest) = message.strip_prefix("Usage of EmptyDir volume \"") {
            let (volume, rest) = rest.split_once('"')?;
            let limit = between(rest, " exceeds the limit \"", "\"").and_then(|limit| limit.parse().ok());
            return Some(Self::EmptyDirLimit { volume: volume.to_owned(), limit });
        }
        let is_of_disk = message.starts_with("Pod ephemeral local storage usage exceeds")
            || (message.starts_with("Container ") && message.contains(" exceeded its local ephemeral storage limit "));
        is_of_disk.then_some(Self::EphemeralStorage)
    }
}

impl EvictionMessage {
    /// Reads `The node was low on resource: …`; `None` where it is another.
    #[must_use]
    pub fn parse(message: &str) -> Option<Self> {
        let rest = message.trim().strip_prefix("The node was low on resource: ")?;
        // Names and quantities hold dots, but no blanks.
        let mut sentences = rest.split(". ").map(|sentence| sentence.trim().trim_end_matches('.')).take(MOST_SENTENCES);
        let mut found = Self { resource: sentences.next()?.to_owned(), ..Self::default() };
        for sentence in sentences {
            found.add(sentence);
        }
        Some(found)
    }

    /// True where the kubelet was out of memory.
    #[must_use]
    pub fn is_about_memory(&self) -> bool {
        self.resource == "memory"
    }

    fn add(&mut self, sentence: &str) {
        if let Some(threshold) = sentence.strip_prefix("Threshold quantity: ") {
            let Some((threshold, available)) = threshold.split_once(", available: ") else { return };
            self.threshold = threshold.parse().ok();
            self.available = available.parse().ok();
        } else if let Some(container) = sentence.strip_prefix("Container ") {
            self.containers.extend(usage(container));
        } else if let Some(pod) = sentence.strip_prefix("Pod ") {
            self.pod = usage(pod);
        }
    }
}

/// `x was using 4916Ki, which exceeds its request of 0`, since 1.26 `x was using 4916Ki, request is 0, has larger consumption of memory`.
fn usage(sentence: &str) -> Option<EvictedUsage> {
    let (name, rest) = sentence.split_once(" was using ")?;
    let (usage, rest) = rest.split_once(", ").unwrap_or((rest, ""));
    let request = rest.strip_prefix("which exceeds its request of ").or_else(|| rest.strip_prefix("request is "));
    let request = request.map(|rest| rest.split_once(", ").map_or(rest, |(request, _)| request));
    Some(EvictedUsage {
        name: name.to_owned(),
        usage: usage.parse().ok(),
        request: request.and_then(|request| request.parse().ok()),
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.split_once(after).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Option<Quantity> {
        text.parse().ok()
    }

    fn low(message: &str) -> EvictionMessage {
        EvictionMessage::parse(message).unwrap()
    }

    /// The wording of 1.26 and newer, with threshold, several containers and the pod as a whole.
    #[test]
    fn with_threshold() {
        let read = low(
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. Pod shop.eu was using 1Gi, \
                        request is 512Mi, has larger consumption of memory. Container x was using 4916Ki, request is 0, has larger \
                        consumption of memory. Container y was using 7Mi, request is 5Mi, has larger consumption of memory. ",
        );
        assert_eq!(
            (read.resource.as_str(), read.threshold, read.available),
            ("memory", quantity("100Mi"), quantity("80Mi"))
        );
        let names: Vec<_> = read.containers.iter().map(|c| (c.name.as_str(), c.usage, c.request)).collect();
        assert_eq!(names, [("x", quantity("4916Ki"), quantity("0")), ("y", quantity("7Mi"), quantity("5Mi"))]);
        assert_eq!(read.pod.map(|pod| (pod.name, pod.request)), Some(("shop.eu".to_owned(), quantity("512Mi"))));
    }

    /// Older wordings: no threshold; usage where it was known; nothing but the resource.
    #[test]
    fn older() {
        let read = low(
            "The node was low on resource: memory. Container main was using 4916Ki, which exceeds its request of 0. ",
        );
        assert_eq!(
            (read.threshold, read.containers[0].usage, read.containers[0].request),
            (None, quantity("4916Ki"), quantity("0"))
        );
        assert_eq!(low("The node was low on resource: memory.").containers, []);
        assert_eq!(low("The node was low on resource: ephemeral-storage. ").resource, "ephemeral-storage");
    }

    /// Other reasons for an eviction are told apart, and what is none is none.
    #[test]
    fn causes() {
        let parse = |text: &str| EvictionCause::parse(text);
        assert_eq!(
            parse("The node had condition: [MemoryPressure]. "),
            Some(EvictionCause::RefusedForCondition { condition: "MemoryPressure".to_owned() })
        );
        assert_eq!(
            parse("Usage of EmptyDir volume \"cache\" exceeds the limit \"64Mi\". "),
            Some(EvictionCause::EmptyDirLimit { volume: "cache".to_owned(), limit: quantity("64Mi") })
        );
        assert_eq!(
            parse("Container app exceeded its local ephemeral storage limit \"1Gi\". "),
            Some(EvictionCause::EphemeralStorage)
        );
        for none in ["", "Container app was OOMKilled", "Preempted in order to admit critical pod"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    proptest::proptest! {
        /// No text makes it panic.
        #[test]
        fn any_text(tail in ".{0,200}") {
            let _ = EvictionCause::parse(&tail);
            let _ = EvictionMessage::parse(&format!("The node was low on resource: {tail}"));
        }
    }
}
