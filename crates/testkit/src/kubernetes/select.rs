//! Which objects a request is about.

use serde_json::Value;

use super::store::text;

/// Kind, namespace, selectors.
pub(super) struct Selection {
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    fields: Vec<(String, String)>,
    labels: Vec<(String, String)>,
}

impl Selection {
    pub(super) fn new(plural: &str, namespace: Option<&str>, fields: &str, labels: &str) -> Self {
        Self {
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            fields: terms(fields),
            labels: terms(labels),
        }
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let in_namespace =
            self.namespace.as_deref().is_none_or(|namespace| text(object, "/metadata/namespace") == namespace);
        let field = |(field, value): &(String, String)| text(object, &format!("/{}", field.replace('.', "/"))) == value;
        let label = |(label, value): &(String, String)| object["metadata"]["labels"][label].as_str() == Some(value);
        in_namespace && self.fields.iter().all(field) && self.labels.iter().all(label)
    }
}

/// `a=b,c=d`, with backslashes before commas and equals signs that are meant.
fn terms(selector: &str) -> Vec<(String, String)> {
    let mut terms = vec![(String::new(), None::<String>)];
    let mut chars = selector.chars();
    while let Some(c) = chars.next() {
        let (key, value) = terms.last_mut().expect("never empty");
        match (c, &value) {
            (',', _) => terms.push((String::new(), None)),
            ('=', None) => *value = Some(String::new()),
            // `==` is the same.
            ('=', Some(text)) if text.is_empty() => {}
            _ => {
                let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
                value.as_mut().unwrap_or(key).push(c);
            }
        }
    }
    terms.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selectors as clients write them.
    #[test]
    fn selectors() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(terms("spec.nodeName=a,metadata.name==b"), [pair("spec.nodeName", "a"), pair("metadata.name", "b")]);
        assert_eq!(terms(r"x=a\,b\=c"), [pair("x", "a,b=c")]);
        assert_eq!(terms(""), []);
    }
}
