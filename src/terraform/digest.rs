//! The digest of a saved plan. It changes exactly when what an apply would do changes; `SECURITY.md` defines it.
//!
//! A plan is taken apart into values. The digest is that of the sorted list of their hashes, a line `HASH KIND` for each.
//! Everything counts that terraform shows, also what later versions add, but for two things. The time of planning does not.
//! And of a data source, which reads differently with another key, those attributes count that terraform names as relevant
//! to a change, and no others, unless they may act where no plan shows it: in a provisioner, in a provider's configuration,
//! in something ephemeral.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::hash::sha256;
use crate::jwt::base64url::hex;
use crate::limits::{MAX_PLAN_DEPTH, MAX_PLAN_PARTS, MAX_PLAN_VALUE};
use crate::os::files;

use super::json_file::{JsonFile, Span};
use super::plan_file;

/// One value of a plan.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The member of the document that it is, or is in.
    pub(super) kind: String,
    /// Whose it is: the address of a resource, the name of an output, a variable or a file; empty for anything else.
    pub(super) name: String,
    /// What is done to a resource or an output.
    pub(super) actions: String,
    /// SHA-256 of the value.
    pub(super) hash: [u8; 32],
}

/// A resource in a list of changes, in the state or in the configuration, or the change of an output.
#[derive(Default)]
pub(super) struct Entry {
    address: String,
    mode: String,
    resource_type: String,
    name: String,
    /// What is done to it.
    pub(super) actions: Vec<String>,
    is_imported: bool,
    is_moved: bool,
    has_provisioners: bool,
}

impl Entry {
    fn read(json: &JsonFile<'_>, span: Span) -> io::Result<Self> {
        let mut entry = Self::default();
        let mut members = json.children(span)?;
        if let Some(at) = members.iter().position(|(name, _)| name == "change") {
            members.extend(json.children(members[at].1.clone())?);
        }
        for (name, span) in members {
            match name.as_str() {
                "address" => entry.address = json.parse(span)?,
                "mode" => entry.mode = json.parse(span)?,
                "type" => entry.resource_type = json.parse(span)?,
                "name" => entry.name = json.parse(span)?,
                "actions" => entry.actions = json.parse(span)?,
                "importing" => entry.is_imported = true,
                "previous_address" => entry.is_moved = true,
                "provisioners" => entry.has_provisioners = true,
                _ => {}
            }
        }
        Ok(entry)
    }

    /// Whether its value changes; one that only gets another address does not.
    pub(super) fn is_changed(&self) -> bool {
        self.actions.iter().any(|action| action != "no-op")
    }

    /// Whether an apply does anything about it.
    fn is_applied(&self) -> bool {
        self.is_changed() || self.is_imported || self.is_moved
    }

    /// The block of the configuration that it is of, in whichever module.
    fn block(&self) -> String {
        format!("{}.{}", self.resource_type, self.name)
    }
}

/// Attributes of data sources, by block; the empty name stands for the whole source.
type Relevant = BTreeMap<String, BTreeSet<String>>;

/// A plan that is taken apart.
pub(super) struct Plan<'a> {
    json: JsonFile<'a>,
    members: BTreeMap<String, Span>,
    /// Blocks of resources that an apply does something about.
    applied: BTreeSet<String>,
    parts: Vec<Part>,
}

impl<'a> Plan<'a> {
    /// The plan of which `terraform show -json` printed `shown`.
    pub(super) fn new(shown: &'a File) -> io::Result<Self> {
        let json = JsonFile::new(shown)?;
        let mut members = BTreeMap::new();
        for (name, span) in json.children(json.whole())? {
            if members.insert(name, span).is_some() {
                return Err(io::Error::other("it has two members of one name"));
            }
        }
        Ok(Self {
            json,
            members,
            applied: BTreeSet::new(),
            parts: Vec::new(),
        })
    }

    /// Whether terraform says that it came to the end of it.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let errored = self.members.get("errored").cloned();
        let errored = errored
            .map(|span| self.json.parse::<Option<bool>>(span))
            .transpose()?;
        Ok(errored.flatten() == Some(false))
    }

    /// Gives `each` the changes in a member, one after another.
    pub(super) fn changes(&mut self, kind: &str, each: &mut dyn FnMut(&Entry)) -> io::Result<()> {
        for (name, span) in self.children(kind)? {
            let entry = Entry::read(&self.json, span.clone())?;
            if entry.actions.is_empty() {
                return Err(io::Error::other("a change in it has no actions"));
            }
            each(&entry);
            if entry.is_applied() {
                self.applied.insert(entry.block());
            }
            let (name, actions) = match kind {
                "output_changes" => (format!("output {name}"), entry.actions.join(" and ")),
                "resource_drift" => (entry.address, String::new()),
                _ => (entry.address, entry.actions.join(" and ")),
            };
            self.add(kind, &name, &actions, self.json.hash(span)?)?;
        }
        Ok(())
    }

    /// All of its parts, once the changes are taken. `plan` is the saved plan itself, `module` the folder it is of.
    pub(super) fn parts(mut self, plan: &File, module: &Path) -> io::Result<Vec<Part>> {
        self.members.remove("timestamp");
        let relevant = match self.may_hide_data()? || may_hide_provider(module)? {
            true => None,
            false => Some(self.relevant()?),
        };
        for kind in ["relevant_attributes", "variables"] {
            for (name, span) in self.children(kind)? {
                let name = format!("variable {name}");
                let name = if kind == "variables" { &name } else { "" };
                self.add(kind, name, "", self.json.hash(span)?)?;
            }
        }
        for (name, span) in self.children("prior_state")? {
            self.state(relevant.as_ref(), (&name, span), 0)?;
        }
        for (kind, span) in std::mem::take(&mut self.members) {
            self.add(&kind, "", "", self.json.hash(span)?)?;
        }
        for (name, hash) in plan_file::configuration(plan)? {
            let shown = name.trim_start_matches("tfconfig/m-").trim_start_matches('/');
            self.add(&format!("file {name}"), shown, "", hash)?;
        }
        Ok(self.parts)
    }

    /// A member of the state, or of a module in it, at this depth.
    fn state(
        &mut self,
        relevant: Option<&Relevant>,
        (name, span): (&str, Span),
        depth: usize,
    ) -> io::Result<()> {
        match name {
            "values" | "root_module" => {
                for (name, span) in self.json.children(span)? {
                    self.state(relevant, (&name, span), depth)?;
                }
            }
            "child_modules" if depth < MAX_PLAN_DEPTH => {
                for (_, module) in self.json.children(span)? {
                    self.state(relevant, ("root_module", module), depth + 1)?;
                }
            }
            "resources" => {
                for (_, span) in self.json.children(span)? {
                    self.resource(relevant, span)?;
                }
            }
            name => self.add(&format!("prior_state {name}"), "", "", self.json.hash(span)?)?,
        }
        Ok(())
    }

    /// A resource of the state.
    fn resource(&mut self, relevant: Option<&Relevant>, span: Span) -> io::Result<()> {
        let entry = Entry::read(&self.json, span.clone())?;
        let Some(relevant) = relevant.filter(|_| entry.mode == "data") else {
            return self.add("prior_state", &entry.address, "", self.json.hash(span)?);
        };
        let children = self.json.children(span.clone())?;
        let values = children.into_iter().find(|(name, _)| name == "values");
        let values = values.map_or(Ok(Vec::new()), |(_, values)| self.json.children(values))?;
        for attribute in relevant.get(&entry.block()).into_iter().flatten() {
            let value = values.iter().find(|(name, _)| name == attribute);
            let value = self.json.hash(value.map_or(&span, |(_, value)| value).clone())?;
            let hash = [
                entry.address.as_bytes(),
                b"\0",
                attribute.as_bytes(),
                b"\0",
                &value,
            ]
            .concat();
            self.add("prior_state", &entry.address, "", sha256(&hash))?;
        }
        Ok(())
    }

    /// The attributes of data sources, by block, that terraform names as relevant to a change. The empty name is none, and
    /// so stands for the whole source.
    fn relevant(&self) -> io::Result<Relevant> {
        #[derive(Deserialize)]
        struct Attribute {
            resource: String,
            attribute: Vec<Value>,
        }
        let mut relevant = Relevant::new();
        let list = self.members.get("relevant_attributes").cloned();
        for (_, span) in list.map_or(Ok(Vec::new()), |span| self.json.children(span))? {
            let entry: Attribute = self.json.parse(span)?;
            let attribute = entry
                .attribute
                .first()
                .and_then(Value::as_str)
                .unwrap_or_default();
            // A key of an instance may hold these words as well: then more counts than must.
            for block in entry.resource.split("data.").skip(1) {
                let end = |at: char| !(at.is_alphanumeric() || matches!(at, '_' | '-' | '.'));
                let block = block.split(end).next().unwrap_or_default();
                relevant
                    .entry(block.to_owned())
                    .or_default()
                    .insert(attribute.to_owned());
            }
        }
        Ok(relevant)
    }

    /// Whether values of data sources may reach what an apply does without being shown in it.
    fn may_hide_data(&self) -> io::Result<bool> {
        // Of Terraform 1.14 and later: what it shows of their settings is no whole configuration.
        if self.members.contains_key("action_invocations") {
            return Ok(true);
        }
        let configuration = self.members.get("configuration").cloned();
        for (name, span) in configuration.map_or(Ok(Vec::new()), |span| self.json.children(span))? {
            if match name.as_str() {
                "provider_config" => self.a_provider_depends(span)?,
                "root_module" => self.a_module_hides(span, 0)?,
                _ => false,
            } {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a provider's configuration refers to more than fixed values.
    fn a_provider_depends(&self, span: Span) -> io::Result<bool> {
        for (_, span) in self.json.children(span)? {
            let provider: Value = self.json.parse(span)?;
            // What is not of the root module may have been given anything.
            if provider.get("module_address").is_some() || depends(&provider) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a module has something ephemeral, or a provisioner of a resource that is applied.
    fn a_module_hides(&self, span: Span, depth: usize) -> io::Result<bool> {
        for (name, span) in self.json.children(span)? {
            for (_, child) in match name.as_str() {
                "resources" | "module_calls" => self.json.children(span)?,
                _ => Vec::new(),
            } {
                if name == "resources" {
                    let entry = Entry::read(&self.json, child)?;
                    let provisioned = entry.has_provisioners && self.applied.contains(&entry.block());
                    if provisioned || entry.mode == "ephemeral" {
                        return Ok(true);
                    }
                    continue;
                }
                for (_, module) in self
                    .json
                    .children(child)?
                    .into_iter()
                    .filter(|(name, _)| name == "module")
                {
                    if depth >= MAX_PLAN_DEPTH || self.a_module_hides(module, depth + 1)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The values in a member, which then need not be looked at again.
    fn children(&mut self, kind: &str) -> io::Result<Vec<(String, Span)>> {
        let span = self.members.remove(kind);
        span.map_or(Ok(Vec::new()), |span| self.json.children(span))
    }

    fn add(&mut self, kind: &str, name: &str, actions: &str, hash: [u8; 32]) -> io::Result<()> {
        if self.parts.len() >= MAX_PLAN_PARTS {
            return Err(io::Error::other("it has more values than anybody writes"));
        }
        self.parts.push(Part {
            kind: kind.into(),
            name: name.into(),
            actions: actions.into(),
            hash,
        });
        Ok(())
    }
}

/// Whether an expression anywhere in `value` refers to something other than a variable of the root module, which is in the
/// plan itself, and the names of folders and of the workspace. A local value may be anything.
fn depends(value: &Value) -> bool {
    let is_fixed = |reference: &Value| {
        let text = reference.as_str().unwrap_or_default();
        ["var.", "path.", "terraform."]
            .iter()
            .any(|kind| text.starts_with(kind))
    };
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| match (name.as_str(), value) {
            ("references", Value::Array(references)) => !references.iter().all(is_fixed),
            (_, value) => depends(value),
        }),
        Value::Array(values) => values.iter().any(depends),
        _ => false,
    }
}

/// Whether a provider's block in `module` may have dynamic blocks, which terraform does not show: whether a file there has
/// such a block, or what looks like one, and the word, or is too large to look into.
fn may_hide_provider(module: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(module)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        let is_json = name.ends_with(".tf.json") || name.ends_with(".tofu.json");
        if (is_json || name.ends_with(".tf") || name.ends_with(".tofu")) && path.is_file() {
            if path.metadata()?.len() > MAX_PLAN_VALUE {
                return Ok(true);
            }
            let text = files::read_bounded(&path, MAX_PLAN_VALUE)?;
            let text = String::from_utf8_lossy(&text);
            let is_escaped = is_json && text.contains("\\u");
            if is_escaped || text.contains("dynamic") && has_provider(&text) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the word is there without `=` behind it, which names the provider of a resource.
fn has_provider(text: &str) -> bool {
    let in_word = |at: char| at.is_alphanumeric() || matches!(at, '_' | '-');
    let around: Vec<&str> = text.split("provider").collect();
    around.windows(2).any(|around| {
        let is_word = !around[0].ends_with(in_word) && !around[1].starts_with(in_word);
        is_word && !around[1].trim_start().starts_with('=')
    })
}

/// The digest of a plan of these parts, as a request names it.
pub(super) fn digest_of(parts: &[Part]) -> String {
    let mut lines: Vec<String> = parts
        .iter()
        .map(|part| format!("{} {}\n", hex(&part.hash), part.kind))
        .collect();
    lines.sort_unstable();
    format!("sha256:{}", hex(&sha256(lines.concat().as_bytes())))
}
