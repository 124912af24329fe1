//! The fields of a query or a form, in the order they came.

use dory_core::{Error, Result};

/// Names with values; a name may come more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `name=value&…`.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of that name, without spaces around it; `None` where it is empty or not there.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The first value of that name as it came.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of that name, which must be there.
    ///
    /// # Errors
    /// `InvalidInput` naming the field.
    pub(crate) fn need(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::invalid(name, "", "it is empty"))
    }

    /// Whether a box of that name was ticked.
    pub(crate) fn is_ticked(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "off" && value != "false")
    }

    /// Every field whose name begins with `prefix`, without it.
    pub(crate) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// The same as a query, with some fields set to other values; an empty value leaves the field out.
    pub(crate) fn query_with(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.0 {
            if !changes.iter().any(|(changed, _)| changed == key) && !value.is_empty() {
                query.append_pair(key, value);
            }
        }
        for (key, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(key, value);
        }
        query.finish()
    }
}

/// A path with a query.
pub(crate) fn link(path: &str, query: &[(&str, &str)]) -> String {
    let query = Fields::default().query_with(query);
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let fields = Fields::parse(b"q=a%26b&sort=size&empty=");
        assert_eq!(fields.get("q"), Some("a&b"));
        assert_eq!(fields.get("empty"), None);
        assert_eq!(fields.query_with(&[("sort", "name"), ("page", "2")]), "q=a%26b&sort=name&page=2");
        assert_eq!(fields.query_with(&[("q", "")]), "sort=size");
        assert_eq!(link("/x", &[("path", "/a b")]), "/x?path=%2Fa+b");
    }
}
