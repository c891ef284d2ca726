//! A document, held against both CRMs, becomes what the engine runs: one mapping and policy for each module pair.

use crmsync_core::{Role, Side};

use super::describe::{FieldInfo, FunctionInfo, ModuleInfo, SideInfo};
use super::document::Document;
use super::module::ModulePair;
use super::pair::{self, Pair};
use super::problem::Problem;
use super::rows::{Context, Misfit};

/// Resolves a flow. `sides` are those of the document's `between`, in its order; `functions` those of all installed transforms.
///
/// `misfit` says what becomes of the person's own rows that do not fit the sides any more. Modules that are switched off are left out. The
/// others come in the order in which their references can be carried: a module before those that point to it, else as in the file.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn resolve(
    document: &Document,
    sides: [&SideInfo; 2],
    functions: &[FunctionInfo],
    misfit: Misfit,
) -> Result<Vec<Pair>, Vec<Problem>> {
    debug_assert_eq!(sides.map(|side| side.connection.as_str()), document.between.each_ref().map(String::as_str));
    let mut problems = Vec::new();
    let modules = find_modules(document, sides, &mut problems);
    let linked: Vec<[String; 2]> = modules.iter().map(|(_, infos)| infos.map(|info| info.name.clone())).collect();
    let plugins = sides.map(|side| side.plugin.as_str());
    let mut pairs = Vec::new();
    for (module, infos) in &modules {
        let Some(direction) = module.direction else { continue };
        let Some(fields) = fields_of(module, *infos, sides, &mut problems) else { continue };
        let context = Context {
            connections: [&document.between[0], &document.between[1]],
            modules: *infos,
            fields,
            functions,
            direction,
            linked: &linked,
            misfit,
        };
        match pair::resolve(&context, document, module, plugins) {
            Ok(pair) => pairs.push(pair),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if problems.is_empty() {
        return Ok(in_order_of_references(pairs, sides));
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

type Modules<'a> = Vec<(&'a ModulePair, [&'a ModuleInfo; 2])>;

/// The modules that are on, with what the sides say about them.
fn find_modules<'a>(document: &'a Document, sides: [&'a SideInfo; 2], problems: &mut Vec<Problem>) -> Modules<'a> {
    let mut found: Modules<'a> = Vec::new();
    for module in document.modules.iter().filter(|module| module.direction.is_some()) {
        let infos = Side::BOTH.map(|side| sides[side as usize].module(&module.names[side as usize]));
        let [left, right] = match infos {
            [Ok(left), Ok(right)] => [left, right],
            infos => {
                problems.extend(infos.into_iter().filter_map(Result::err));
                continue;
            }
        };
        if found.iter().any(|(_, known)| known[0].name == left.name && known[1].name == right.name) {
            let message = format!("`{}` and `{}` are in the flow twice", left.name, right.name);
            problems.push(Problem::new(module.spot, message).hint("keep one [[module]] and list all rows there"));
            continue;
        }
        found.push((module, [left, right]));
    }
    found
}

fn fields_of<'a>(
    module: &ModulePair,
    infos: [&ModuleInfo; 2],
    sides: [&'a SideInfo; 2],
    problems: &mut Vec<Problem>,
) -> Option<[&'a [FieldInfo]; 2]> {
    let fields = Side::BOTH.map(|side| sides[side as usize].fields.get(&infos[side as usize].name));
    if let [Some(left), Some(right)] = fields {
        return Some([left, right]);
    }
    for side in Side::BOTH.into_iter().filter(|&side| fields[side as usize].is_none()) {
        let (name, info) = (&module.names[side as usize], sides[side as usize]);
        let message = format!("the fields of `{}` of `{}` were not read", infos[side as usize].name, info.connection);
        problems
            .push(Problem::new(name.spot, message).hint(format!("try: crmsync connection check {}", info.connection)));
    }
    None
}

/// Puts each pair behind those that its references point to. Pairs that point to each other stay as they are.
fn in_order_of_references(pairs: Vec<Pair>, sides: [&SideInfo; 2]) -> Vec<Pair> {
    let mut waiting = pairs;
    let mut ordered: Vec<Pair> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_free = |index: &usize| {
            let mut others = (0..waiting.len()).filter(|other| other != index);
            others.all(|other| !points_to(&waiting[*index], &waiting[other], sides))
        };
        let next = (0..waiting.len()).find(is_free).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

fn points_to(from: &Pair, to: &Pair, sides: [&SideInfo; 2]) -> bool {
    let references = from.mapping.rows.iter().filter(|row| row.role == Role::Reference);
    references.flat_map(|row| &row.left).any(|field| {
        let mut infos = sides[0].fields.get(&from.left_module).into_iter().flatten();
        infos.any(|info| info.name == field.name && info.targets.contains(&to.left_module))
    })
}

#[cfg(test)]
mod tests;
