//! Names that may have been meant: what stands in a hint when a name is unknown.

/// How many names a hint offers.
const OFFERED: usize = 3;

/// The names nearest to `wanted`, nearest first: those that hold it as a part, then by edit distance.
pub(super) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let mut ranked: Vec<(bool, usize, &str)> = names
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            (wanted.is_empty() || !lower.contains(&wanted), distance(&wanted, &lower), name)
        })
        .collect();
    ranked.sort_unstable();
    ranked.truncate(OFFERED);
    ranked.into_iter().map(|(_, _, name)| name).collect()
}

/// `` the nearest names are `a`, `b` and `c` ``; `None` where there are no names.
pub(super) fn hint(wanted: &str, names: &[&str]) -> Option<String> {
    let names: Vec<String> =
        nearest(wanted, names.iter().copied()).into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => None,
        [only] => Some(format!("the nearest name is {only}")),
        [first @ .., last] => Some(format!("the nearest names are {} and {last}", first.join(", "))),
    }
}

/// How many characters must be inserted, deleted or replaced to get from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("db", "bd", 2), ("same", "same", 0)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn parts_of_a_name_come_before_typing_errors() {
        let names = ["web", "shop-database-1", "dba", "postgres"];
        assert_eq!(nearest("database", names), ["shop-database-1", "dba", "postgres"]);
        assert_eq!(nearest("postgers", names)[0], "postgres");
    }

    #[test]
    fn the_hint_is_a_sentence() {
        assert_eq!(hint("x", &[]), None);
        assert_eq!(hint("wbe", &["web"]).unwrap(), "the nearest name is `web`");
        assert_eq!(hint("wbe", &["web", "app", "db"]).unwrap(), "the nearest names are `web`, `db` and `app`");
    }
}
