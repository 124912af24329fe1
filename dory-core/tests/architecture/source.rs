//! Reading Rust just well enough: code without comments and texts, and the paths that it names.

/// One source file.
#[derive(Clone)]
pub(super) struct Source {
    /// Relative to the workspace.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The file's module, from the crate's root: `adapters/docker/mod.rs` is `[adapters, docker]`.
    pub(super) fn module(&self) -> Vec<String> {
        let (_, inside) = self.path.split_once("src/").expect("a file of a crate");
        let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        inside.split('/').map(str::to_owned).collect()
    }

    /// The text with comments and literals blanked out, its lines where they were.
    pub(super) fn code(&self) -> String {
        let mut code = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let length = literal_or_comment(rest);
            if length == 0 {
                let next = rest.chars().next().map_or(0, char::len_utf8);
                code.push_str(&rest[..next]);
                // What follows an identifier's character is no prefix of a raw text.
                rest = &rest[next..];
                let word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
                while word && rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                    let next = rest.chars().next().map_or(0, char::len_utf8);
                    code.push_str(&rest[..next]);
                    rest = &rest[next..];
                }
            } else {
                code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
                rest = &rest[length..];
            }
        }
        code
    }

    /// The lines whose code holds one of `words`, as `path:line: text`.
    pub(super) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let code = self.code();
        let lines = code.lines().zip(self.text.lines()).enumerate();
        let hits = lines.filter(|(_, (code, _))| words.iter().any(|word| code.contains(word)));
        hits.map(|(at, (_, line))| format!("{}:{}: {}", self.path, at + 1, line.trim())).collect()
    }
}

/// How long the comment, text or character is that `rest` begins with; 0 if it begins with none.
fn literal_or_comment(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let prefix = ["br", "b", "r", ""].into_iter().find(|prefix| rest.starts_with(prefix)).unwrap_or_default();
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        return match body[hashes..].strip_prefix('"') {
            Some(text) => text.find(&end).map_or(rest.len(), |at| prefix.len() + hashes + 1 + at + end.len()),
            None => 0,
        };
    }
    match body.chars().next() {
        Some('"') => prefix.len() + quoted(body, '"'),
        // A lifetime has no quote after its first character.
        Some('\'') if body[1..].starts_with('\\') || body[1..].chars().nth(1) == Some('\'') => {
            prefix.len() + quoted(body, '\'')
        }
        _ => 0,
    }
}

fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Every path of `code` that begins with `crate` or `super`, from the crate's root, with its line. Groups are taken apart.
pub(super) fn references(code: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let start = match tokens[at].1 {
            "crate" => Some(Vec::new()),
            // Of the module's own path, the last part goes first: `super` in `domain/id.rs` is `domain`.
            "super" => Some(module[..module.len().saturating_sub(1)].to_vec()),
            _ => None,
        };
        at += 1;
        if let Some(start) = start {
            at = follow(&tokens, at, start, &mut found);
        }
    }
    found
}

/// Follows a path that has come to `path` and goes on at `at`; tells where it ends.
fn follow(tokens: &[(usize, &str)], at: usize, mut path: Vec<String>, found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.1);
    let mut at = at;
    while text(at) == "::" {
        match text(at + 1) {
            "super" => {
                path.pop();
            }
            "{" => return follow_group(tokens, at + 2, &path, found),
            word => path.push(word.to_owned()),
        }
        at += 2;
    }
    found.push((tokens[at - 1].0, path));
    at
}

/// Follows the paths of a group, from after its brace; tells where it ends.
fn follow_group(tokens: &[(usize, &str)], at: usize, path: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut at = at;
    while at < tokens.len() {
        match tokens[at].1 {
            "}" => return at + 1,
            "," => at += 1,
            word => {
                let mut inner = path.to_vec();
                inner.push(word.to_owned());
                at = follow(tokens, at + 1, inner, found);
                // What a name is called here does not matter.
                if tokens.get(at).is_some_and(|token| token.1 == "as") {
                    at += 2;
                }
            }
        }
    }
    at
}

/// Words, `::` and single signs, with their lines.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
            let length = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((line + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}
