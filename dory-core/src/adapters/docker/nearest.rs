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

/// How many characters must be inserted, deleted, replaced or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // The rows of the usual table for one character less, and for two.
    let mut one_less: Vec<usize> = (0..=b.len()).collect();
    let mut two_less = one_less.clone();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut least = (row[j] + 1).min(one_less[j + 1] + 1).min(one_less[j] + usize::from(a[i] != b[j]));
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(two_less[j - 1] + 1);
            }
            row.push(least);
        }
        two_less = std::mem::replace(&mut one_less, row);
    }
    one_less[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("db", "bd", 1),
            ("ca", "abc", 3),
            ("same", "same", 0),
        ] {
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
