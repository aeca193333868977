//! The daemon's own source as the tests about its structure read it: comments and tests left out, strings apart from
//! code, and every path that a file names resolved to the file that it leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file of `src/` without its comments and its tests.
pub struct Source {
    /// Below `src/`.
    pub path: PathBuf,
    /// The folder or file right below `src/` that it belongs to.
    pub module: String,
    /// Its text with the same line breaks: comments and test code are blank, strings are empty.
    pub code: String,
    /// What its string literals hold, as written, with the line on which each begins.
    pub strings: Vec<(usize, String)>,
}

impl Source {
    /// Lines that hold code, with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.lines().enumerate();
        numbered
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim().is_empty())
    }
}

/// All of them, by path. Read once: many tests look at them.
pub fn all() -> &'static [Source] {
    static ALL: OnceLock<Vec<Source>> = OnceLock::new();
    ALL.get_or_init(|| {
        let root = root();
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    found.push(path);
                }
            }
        }
        let of_tests = test_files(&found);
        found.retain(|path| !of_tests.contains(path));
        found.sort();
        assert!(found.len() > 20, "the sources were not found");
        found.iter().map(|path| read(&root, path)).collect()
    })
}

/// The files that each file names anything of, but itself.
pub fn imports() -> &'static BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    static IMPORTS: OnceLock<BTreeMap<PathBuf, BTreeSet<PathBuf>>> = OnceLock::new();
    IMPORTS.get_or_init(|| {
        let resolver = Resolver::new(all());
        let each = all()
            .iter()
            .map(|source| (source.path.clone(), resolver.imports(source)));
        each.collect()
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of modules that are declared under `#[cfg(test)]`.
fn test_files(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            if *line != "#[cfg(test)]" {
                continue;
            }
            let mut rest = lines[index + 1..].iter();
            let next = rest.next().copied().unwrap_or_default();
            let folder = file.parent().unwrap();
            if let Some(name) = next
                .strip_prefix("#[path = \"")
                .and_then(|rest| rest.strip_suffix("\"]"))
            {
                found.insert(folder.join(name));
            } else if let Some(name) = next.strip_suffix(';').and_then(|line| line.split("mod ").nth(1)) {
                let stem = file.file_stem().unwrap();
                let below = if stem == "mod" || stem == "lib" {
                    folder.to_owned()
                } else {
                    folder.join(stem)
                };
                found.insert(below.join(format!("{name}.rs")));
            }
        }
    }
    found
}

fn read(root: &Path, path: &Path) -> Source {
    let (code, strings) = separate(&fs::read_to_string(path).unwrap());
    let code = without_tests(&code);
    let kept: BTreeSet<usize> = code
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, _)| index + 1)
        .collect();
    let below = path.strip_prefix(root).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy();
    Source {
        module: first.trim_end_matches(".rs").to_owned(),
        path: below.to_owned(),
        strings: strings
            .into_iter()
            .filter(|(line, _)| kept.contains(line))
            .collect(),
        code,
    }
}

/// Takes comments out of `text` and strings apart from it; line breaks stay where they are.
pub fn separate(text: &str) -> (String, Vec<(usize, String)>) {
    let (mut code, mut strings) = (String::new(), Vec::new());
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let plain = rest.find(['"', '/', '\'', 'r', 'b', '\n']).unwrap_or(rest.len());
        if plain > 0 {
            code.push_str(&rest[..plain]);
            rest = &rest[plain..];
            continue;
        }
        let after_name = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let (token, string) = match raw_string(rest).filter(|_| !after_name) {
            Some(found) => found,
            None if rest.starts_with("//") => (&rest[..rest.find('\n').unwrap_or(rest.len())], None),
            None if rest.starts_with("/*") => (block_comment(rest), None),
            None if first == '"' => {
                let end = string_end(rest);
                (&rest[..end], Some(&rest[1..end - 1]))
            }
            None => {
                let length = character(rest).unwrap_or(first.len_utf8());
                code.push_str(&rest[..length]);
                line += usize::from(first == '\n');
                rest = &rest[length..];
                continue;
            }
        };
        let breaks = token.matches('\n').count();
        if let Some(string) = string {
            strings.push((line, string.to_owned()));
            code.push_str("\"\"");
        }
        code.push_str(&"\n".repeat(breaks));
        line += breaks;
        rest = &rest[token.len()..];
    }
    (code, strings)
}

/// A raw string at the start of `text`: all of it, and what it holds.
fn raw_string(text: &str) -> Option<(&str, Option<&str>)> {
    let after = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = inside.find(&format!("\"{}", "#".repeat(hashes)))?;
    let start = text.len() - inside.len();
    Some((&text[..start + end + 1 + hashes], Some(&inside[..end])))
}

fn block_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(0, char::len_utf8);
        }
        if depth == 0 || at >= text.len() {
            return &text[..at];
        }
    }
}

fn string_end(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal: a quote that begins a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let length = match inside.strip_prefix('\\') {
        Some(escaped) => 2 + escaped.chars().next()?.len_utf8() - 1 + escaped[1..].find('\'')?,
        None => inside.chars().next().filter(|c| *c != '\'')?.len_utf8(),
    };
    inside[length..].starts_with('\'').then_some(length + 2)
}

/// Blanks each item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let item = &rest[start + MARK.len()..];
        let (mut depth, mut end) = (0_i32, item.len());
        for (index, character) in item.char_indices() {
            depth += i32::from(character == '{') - i32::from(character == '}');
            if depth == 0 && matches!(character, '}' | ';') {
                end = index + 1;
                break;
            }
        }
        kept.push_str(&"\n".repeat(item[..end].matches('\n').count()));
        rest = &item[end..];
    }
    kept + rest
}

/// Which file each path leads to.
struct Resolver<'a> {
    files: BTreeMap<Vec<String>, &'a Source>,
    names: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl<'a> Resolver<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let files: BTreeMap<Vec<String>, &Source> = sources
            .iter()
            .map(|source| (module_path(&source.path), source))
            .collect();
        let mut this = Self {
            files,
            names: BTreeMap::new(),
        };
        for (module, source) in &this.files {
            let mut names = BTreeMap::new();
            for (name, path, _) in uses(&source.code) {
                names.insert(name, absolute(module, &path));
            }
            for name in child_modules(&source.code) {
                names.insert(name.clone(), [module.as_slice(), &[name]].concat());
            }
            this.names.insert(module.clone(), names);
        }
        this
    }

    fn imports(&self, source: &Source) -> BTreeSet<PathBuf> {
        let module = module_path(&source.path);
        // A re-export runs nothing: whoever uses it is who imports what it leads to.
        let own = uses(&source.code)
            .into_iter()
            .filter(|(_, _, exported)| !exported);
        let used = own.map(|(_, path, _)| path);
        let inline = inline_paths(&source.code);
        used.chain(inline)
            .filter_map(|path| self.file_of(&module, &path))
            .filter(|path| *path != source.path)
            .collect()
    }

    fn file_of(&self, module: &[String], path: &[String]) -> Option<PathBuf> {
        let known = &self.names[module];
        let path = match path[0].as_str() {
            "crate" | "self" | "super" | "engram_deployer" => absolute(module, path),
            first => [known.get(first)?.as_slice(), &path[1..]].concat(),
        };
        self.definition(&path, 0)
    }

    /// Follows modules and re-exports as far as `path` goes.
    fn definition(&self, path: &[String], depth: usize) -> Option<PathBuf> {
        assert!(depth < 20, "a circle of re-exports at {path:?}");
        let length = (0..=path.len())
            .rev()
            .find(|length| self.files.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        if module.is_empty() {
            // A macro, which stands at the root wherever it was written.
            return None;
        }
        let source = self.files[module];
        let Some(name) = rest.first() else {
            return Some(source.path.clone());
        };
        match self.names[module]
            .get(name)
            .filter(|target| target.as_slice() != path)
        {
            Some(target) => self.definition(&[target.as_slice(), &rest[1..]].concat(), depth + 1),
            None => Some(source.path.clone()),
        }
    }
}

fn module_path(path: &Path) -> Vec<String> {
    let text = path.with_extension("").to_string_lossy().into_owned();
    let mut parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    match path[0].as_str() {
        "crate" | "engram_deployer" => path[1..].to_vec(),
        "self" => [module, &path[1..]].concat(),
        "super" => absolute_super(module, path),
        // A child module, or a crate, which no file is found for.
        _ => [module, path].concat(),
    }
}

fn absolute_super(module: &[String], path: &[String]) -> Vec<String> {
    let up = path.iter().take_while(|part| *part == "super").count();
    [&module[..module.len().saturating_sub(up)], &path[up..]].concat()
}

fn child_modules(code: &str) -> Vec<String> {
    let declared = code
        .lines()
        .filter_map(|line| line.trim().strip_suffix(';')?.split("mod ").nth(1));
    declared
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// Each name that a `use` brings in, with the path that it stands for, and whether it is exported again.
fn uses(code: &str) -> Vec<(String, Vec<String>, bool)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find("use ") {
        let begins_a_word = !rest[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let line = rest[..start].rsplit('\n').next().unwrap_or_default().trim();
        let exported = line.starts_with("pub");
        rest = &rest[start + 4..];
        let Some(end) = rest.find(';').filter(|_| begins_a_word) else {
            continue;
        };
        let mut names = Vec::new();
        let text: Vec<&str> = rest[..end].split_whitespace().collect();
        tree(&text.join(" "), &[], &mut names);
        found.extend(names.into_iter().map(|(name, path)| (name, path, exported)));
    }
    found
}

fn tree(text: &str, above: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let text = text.trim();
    if let Some((path, list)) = text.split_once('{') {
        let path = [above, &parts(path)].concat();
        let list = list.strip_suffix('}').expect("a use ends with its brace");
        let (mut depth, mut start) = (0, 0);
        for (index, character) in list.char_indices() {
            depth += i32::from(character == '{') - i32::from(character == '}');
            if depth == 0 && character == ',' {
                tree(&list[start..index], &path, found);
                start = index + 1;
            }
        }
        if !list[start..].trim().is_empty() {
            tree(&list[start..], &path, found);
        }
        return;
    }
    let (path, name) = text
        .split_once(" as ")
        .map_or((text, None), |(path, name)| (path, Some(name)));
    let mut path = [above, &parts(path)].concat();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let name = name.map_or_else(
        || path.last().cloned().unwrap_or_default(),
        |name| name.trim().to_owned(),
    );
    found.push((name, path));
}

fn parts(path: &str) -> Vec<String> {
    path.split("::")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Paths of two parts and more in the code itself, outside of `use`.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = code.split_inclusive(['\n', ';']).collect();
    let mut inside = false;
    let mut code = String::new();
    for line in lines {
        let start = line.trim_start();
        inside |= ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .any(|word| start.starts_with(word));
        if !inside {
            code.push_str(line);
        }
        inside &= !line.trim_end().ends_with(';');
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for word in code.split(|c: char| !is_name(c) && c != ':') {
        let path = parts(word);
        if word.contains("::") && path.len() > 1 && !word.starts_with(':') {
            found.push(path);
        }
    }
    // What follows a name by itself may be one that was imported: that import has been counted.
    found
}
