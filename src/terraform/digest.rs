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
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::hash::sha256;
use crate::jwt::base64url::hex;
use crate::limits::{MAX_PLAN_DEPTH, MAX_PLAN_VALUE};
use crate::os::files;

use super::plan_file;
use super::plan_json::{PlanJson, Span, must_be_few};

/// One value of a plan.
#[derive(Clone, Debug)]
pub struct Part {
    /// The member of the document that it is, or is in.
    pub kind: String,
    /// Whose it is: the address of a resource, the name of an output, a variable or a file; empty for anything else.
    pub name: String,
    /// What is done to a resource or an output.
    pub actions: String,
    /// SHA-256 of the value.
    pub hash: [u8; 32],
}

/// A resource in a list of changes, in the state or in the configuration.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    address: String,
    mode: String,
    r#type: String,
    name: String,
    change: Change,
    previous_address: Option<IgnoredAny>,
    provisioners: Option<IgnoredAny>,
}

/// What is done to a resource or an output.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    actions: Vec<String>,
    importing: Option<IgnoredAny>,
}

impl Entry {
    /// The block of the configuration that it is of, in whichever module.
    fn block(&self) -> String {
        format!("{}.{}", self.r#type, self.name)
    }
}

/// Whether a value changes: one that only gets another address does not.
pub fn changes_value(actions: &[String]) -> bool {
    actions.iter().any(|action| action != "no-op")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    provider_config: BTreeMap<String, Value>,
    root_module: Module,
}

/// A module, or a call of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Module {
    resources: Vec<Entry>,
    module_calls: BTreeMap<String, Module>,
    module: Option<Box<Module>>,
}

impl Module {
    /// Whether it has something ephemeral, or a provisioner of a resource that is among the `applied`.
    fn hides(&self, applied: &BTreeSet<String>) -> bool {
        let hides = |entry: &Entry| {
            entry.mode == "ephemeral" || entry.provisioners.is_some() && applied.contains(&entry.block())
        };
        let mut others = self.module_calls.values().chain(self.module.as_deref());
        self.resources.iter().any(hides) || others.any(|module| module.hides(applied))
    }
}

/// Attributes of data sources, by block; the empty name stands for the whole source.
type Relevant = BTreeMap<String, BTreeSet<String>>;

/// A plan that is taken apart.
pub struct Plan<'a> {
    json: PlanJson<'a>,
    members: BTreeMap<String, Span>,
    /// Blocks of resources that an apply does something about.
    applied: BTreeSet<String>,
    parts: Vec<Part>,
}

impl<'a> Plan<'a> {
    /// The plan of which `terraform show -json` printed `shown`.
    pub fn new(shown: &'a File) -> io::Result<Self> {
        let json = PlanJson::new(shown)?;
        let mut members = BTreeMap::new();
        for (name, value) in json.children(json.whole())? {
            if members.insert(name, value).is_some() {
                return Err(io::Error::other("a member comes twice"));
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
    pub fn is_whole(&self) -> io::Result<bool> {
        Ok(self.member("errored")? == Some(false))
    }

    /// Takes the changes in a member; the actions of each.
    pub fn changes(&mut self, kind: &str) -> io::Result<Vec<Vec<String>>> {
        let mut all = Vec::new();
        for (name, value) in self.take(kind)? {
            let mut entry: Entry = self.json.parse(value.clone())?;
            if kind == "output_changes" {
                (entry.address, entry.change) = (format!("output {name}"), self.json.parse(value.clone())?);
            }
            let Change { actions, importing } = &entry.change;
            if actions.is_empty() {
                return Err(io::Error::other("a change has no actions"));
            }
            if changes_value(actions) || importing.is_some() || entry.previous_address.is_some() {
                self.applied.insert(entry.block());
            }
            let shown = (kind != "resource_drift").then(|| actions.join(" and "));
            self.add_value(kind, &entry.address, &shown.unwrap_or_default(), value)?;
            all.push(entry.change.actions);
        }
        Ok(all)
    }

    /// All of its parts, once the changes are taken. `plan` is the saved plan itself, `module` the folder it is of.
    pub fn parts(mut self, plan: &[u8], module: &Path) -> io::Result<Vec<Part>> {
        self.members.remove("timestamp");
        let relevant = match self.may_hide_data()? || may_hide_provider(module)? {
            true => None,
            false => Some(self.relevant()?),
        };
        for (_, value) in self.take("relevant_attributes")? {
            self.add_value("relevant_attributes", "", "", value)?;
        }
        for (name, value) in self.take("variables")? {
            self.add_value("variables", &format!("variable {name}"), "", value)?;
        }
        for (name, value) in self.take("prior_state")? {
            self.state(relevant.as_ref(), &name, value, 0)?;
        }
        for (kind, value) in std::mem::take(&mut self.members) {
            self.add_value(&kind, "", "", value)?;
        }
        for (name, content) in plan_file::configuration(plan)? {
            let shown = name.trim_start_matches("tfconfig/m-").trim_start_matches('/');
            self.add(&format!("file {name}"), shown, "", sha256(&content))?;
        }
        Ok(self.parts)
    }

    /// A member of the state, or of a module in it, at this depth.
    fn state(
        &mut self,
        relevant: Option<&Relevant>,
        name: &str,
        value: Span,
        depth: usize,
    ) -> io::Result<()> {
        match name {
            "values" | "root_module" | "child_modules" if depth < MAX_PLAN_DEPTH => {
                for (name, value) in self.json.children(value)? {
                    // A module in a list has no name.
                    let name = if name.is_empty() { "root_module" } else { &name };
                    self.state(relevant, name, value, depth + 1)?;
                }
            }
            "resources" => {
                for (_, value) in self.json.children(value)? {
                    self.resource(relevant, value)?;
                }
            }
            name => self.add_value(&format!("prior_state {name}"), "", "", value)?,
        }
        Ok(())
    }

    /// A resource of the state.
    fn resource(&mut self, relevant: Option<&Relevant>, value: Span) -> io::Result<()> {
        let entry: Entry = self.json.parse(value.clone())?;
        let Some(relevant) = relevant.filter(|_| entry.mode == "data") else {
            return self.add_value("prior_state", &entry.address, "", value);
        };
        let mut members: BTreeMap<_, _> = self.json.children(value.clone())?.into_iter().collect();
        let values = match members.remove("values") {
            Some(values) => self.json.children(values)?.into_iter().collect(),
            None => BTreeMap::new(),
        };
        for attribute in relevant.get(&entry.block()).into_iter().flatten() {
            let seen = self.json.hash(values.get(attribute).unwrap_or(&value).clone())?;
            let named = format!("{}\0{attribute}\0", entry.address);
            let bytes = [named.as_bytes(), &seen].concat();
            self.add("prior_state", &entry.address, "", sha256(&bytes))?;
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
        let list: Option<Vec<Attribute>> = self.member("relevant_attributes")?;
        for Attribute { resource, attribute } in list.unwrap_or_default() {
            let attribute = attribute.first().and_then(Value::as_str).unwrap_or_default();
            // A key of an instance may hold these words as well: then more counts than must.
            for block in resource.split("data.").skip(1) {
                let end = |at: char| !(at.is_alphanumeric() || matches!(at, '_' | '-' | '.'));
                let block = block.split(end).next().unwrap_or_default().to_owned();
                relevant.entry(block).or_default().insert(attribute.to_owned());
            }
        }
        Ok(relevant)
    }

    /// Whether values of data sources may reach what an apply does without being shown in it.
    fn may_hide_data(&self) -> io::Result<bool> {
        let configuration: Configuration = self.member("configuration")?.unwrap_or_default();
        // What is not of the root module may have been given anything.
        let depends = |provider| depends(provider) || provider.get("module_address").is_some();
        // Of Terraform 1.14 and later: what it shows of the settings of actions is no whole configuration.
        Ok(self.members.contains_key("action_invocations")
            || configuration.provider_config.values().any(depends)
            || configuration.root_module.hides(&self.applied))
    }

    fn member<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let value = self.members.get(name).cloned();
        value.map_or(Ok(None), |value| self.json.parse(value))
    }

    /// The values in a member, which then need not be looked at again.
    fn take(&mut self, kind: &str) -> io::Result<Vec<(String, Span)>> {
        let value = self.members.remove(kind);
        value.map_or(Ok(Vec::new()), |value| self.json.children(value))
    }

    fn add_value(&mut self, kind: &str, name: &str, actions: &str, value: Span) -> io::Result<()> {
        let hash = self.json.hash(value)?;
        self.add(kind, name, actions, hash)
    }

    fn add(&mut self, kind: &str, name: &str, actions: &str, hash: [u8; 32]) -> io::Result<()> {
        must_be_few(self.parts.len())?;
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
/// such a block, or what looks like one, and the word, or cannot be looked into.
fn may_hide_provider(module: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(module)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        let is_json = name.ends_with(".tf.json") || name.ends_with(".tofu.json");
        if !(is_json || name.ends_with(".tf") || name.ends_with(".tofu")) || !path.is_file() {
            continue;
        }
        let Ok(text) = files::read_bounded(&path, MAX_PLAN_VALUE) else {
            return Ok(true);
        };
        let text = String::from_utf8_lossy(&text);
        if is_json && text.contains("\\u") || text.contains("dynamic") && has_provider(&text) {
            return Ok(true);
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

/// The digest of a plan of these parts, as a request names it. Whose a value is counts as well: two variables that have each
/// other's values are another plan.
pub fn digest_of(parts: &[Part]) -> String {
    let mut lines: Vec<String> = parts
        .iter()
        .map(|part| {
            let named = sha256(&[part.name.as_bytes(), b"\0", &part.hash].concat());
            format!("{} {}\n", hex(&named), part.kind)
        })
        .collect();
    lines.sort_unstable();
    format!("sha256:{}", hex(&sha256(lines.concat().as_bytes())))
}
