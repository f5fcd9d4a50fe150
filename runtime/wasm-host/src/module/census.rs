//! The contents of a module, counted before it is compiled: compiling cannot be interrupted, and its cost follows from
//! these counts. A module that passes a bound is refused without having cost more than reading it.

use std::fmt;

use wasmparser::{
    BinaryReaderError, BlockType, CompositeInnerType, FunctionBody, KnownCustom, Name, Operator, Parser, Payload,
};

use crate::base::limits::{
    CORE_INSTANCES_PER_INSTANCE, FUNCTION_BRANCHES, FUNCTION_LOCALS, FUNCTION_WORK, MODULE_FUNCTIONS, MODULE_ITEMS,
    MODULE_WORK, TABLES_PER_INSTANCE,
};

/// The counts of a module, or of a component with all its modules.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    functions: u64,
    /// Types, imports, exports, globals, segments and the like.
    items: u64,
    /// The sum of [`Reading::work`] over all functions.
    work: u64,
    /// Linear memory that instances begin with, in bytes.
    pub(crate) memory: u64,
    memories: u32,
    tables: u32,
    core_instances: u32,
}

/// A count that is above its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The function, as its module counts them from 0, imports included, and its name where the module tells it.
    function: Option<(u32, Option<String>)>,
    /// The things that are counted: "local variables".
    what: &'static str,
    count: u64,
    most: u64,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, what, count, most } = self;
        match function {
            Some((index, Some(name))) => write!(f, "its function {index} (`{name}`)")?,
            Some((index, None)) => write!(f, "its function {index}")?,
            None => write!(f, "it")?,
        }
        write!(f, " has {count} {what}, and {most} is the most")
    }
}

/// The reason why there is no census.
pub(crate) enum Uncounted {
    /// The file is no Wasm; the reason.
    Unreadable(String),
    /// The file holds more than may be.
    Bound(Box<Bound>),
}

impl From<BinaryReaderError> for Uncounted {
    fn from(error: BinaryReaderError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl Census {
    /// Counts what a file holds.
    pub(crate) fn of(file: &[u8]) -> Result<Self, Uncounted> {
        let mut census = Self::default();
        let mut module = Reading::default();
        for payload in Parser::new(0).parse_all(file) {
            census.count(payload?, &mut module, file)?;
            census.check()?;
        }
        Ok(census)
    }

    /// Holds the sums against their bounds.
    fn check(&self) -> Result<(), Uncounted> {
        let whole = |what, count, most| bound(|| None, what, count, most);
        whole("functions", self.functions, MODULE_FUNCTIONS)?;
        whole("types, imports, exports and segments", self.items, MODULE_ITEMS)?;
        whole("local variables times nested loops and branches, over all functions", self.work, MODULE_WORK)
    }

    fn count(&mut self, payload: Payload<'_>, module: &mut Reading, file: &[u8]) -> Result<(), Uncounted> {
        match payload {
            Payload::Version { .. } => *module = Reading::default(),
            Payload::ImportSection(section) => {
                self.items += u64::from(section.count());
                for import in section.into_imports() {
                    if matches!(import?.ty, wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_)) {
                        module.imported += 1;
                    }
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                self.check()?;
                for of in section {
                    module.declared.push(of?);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let (work, next) = (module.work(&body, file)?, module.next + 1);
                self.work = self.work.saturating_add(work);
                module.next = next;
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    self.memory = self.memory.saturating_add(memory.initial.saturating_mul(page));
                    self.memories += 1;
                }
            }
            Payload::TableSection(section) => {
                self.tables = self.tables.saturating_add(section.count());
                self.items += u64::from(section.count());
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    // The other kind is a name for exports that are there already.
                    self.core_instances += u32::from(matches!(instance?, wasmparser::Instance::Instantiate { .. }));
                }
            }
            Payload::TypeSection(section) => {
                self.items += u64::from(section.count());
                for group in section {
                    for of in group?.into_types() {
                        module.types.push(match of.composite_type.inner {
                            CompositeInnerType::Func(of) => (of.params().len() as u64, of.results().len() as u64),
                            _ => (0, 0),
                        });
                        self.items += 1;
                    }
                    self.check()?;
                }
            }
            Payload::GlobalSection(section) => self.items += u64::from(section.count()),
            Payload::ExportSection(section) => self.items += u64::from(section.count()),
            Payload::ElementSection(section) => self.items += u64::from(section.count()),
            Payload::DataSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentImportSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentExportSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentAliasSection(section) => self.items += u64::from(section.count()),
            _ => {}
        }
        Ok(())
    }

    /// The part of the engine's room that an instance takes, in units of what a plain module takes: components bring
    /// instances, memories and tables of their own.
    pub(crate) fn weight(&self) -> usize {
        let instances = self.core_instances.div_ceil(CORE_INSTANCES_PER_INSTANCE);
        instances.max(self.memories).max(self.tables.div_ceil(TABLES_PER_INSTANCE)).max(1) as usize
    }
}

/// The module that is read, as far as its functions refer to it.
#[derive(Default)]
struct Reading {
    /// Parameters and results of each type.
    types: Vec<(u64, u64)>,
    imported: u32,
    /// The type of each function of the module itself.
    declared: Vec<u32>,
    /// The index of the next function among those of the module itself.
    next: u32,
}

/// The words for what [`FUNCTION_WORK`] bounds.
const WORK: &str = "local variables times nested loops and branches";

impl Reading {
    /// The cost to compile a function, beside its size: the compiler asks at each branch which value each local variable
    /// has.
    fn work(&self, body: &FunctionBody<'_>, file: &[u8]) -> Result<u64, Uncounted> {
        let function = self.imported.saturating_add(self.next);
        let named = || Some((function, name_of(file, function)));
        let of = self.declared.get(self.next as usize).copied().unwrap_or_default();
        let mut locals = self.arity(of).0;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        bound(named, "local variables", locals, FUNCTION_LOCALS)?;
        let branches = Branches::of(body, self)?;
        bound(named, "loops and branches", branches.count, FUNCTION_BRANCHES)?;
        let each = branches.depths.saturating_add(branches.count / 4).saturating_add(branches.entries / 8);
        let work = locals.max(1).saturating_mul(each).saturating_add(branches.values);
        bound(named, WORK, work, FUNCTION_WORK)?;
        Ok(work)
    }

    /// The parameters and results of a type.
    fn arity(&self, of: u32) -> (u64, u64) {
        self.types.get(of as usize).copied().unwrap_or_default()
    }
}

/// The branches of a function.
#[derive(Default)]
struct Branches {
    /// Loops and blocks.
    count: u64,
    /// For each loop, how many loops it stands in, with itself: values go round in all of them.
    depths: u64,
    /// Entries of branch tables.
    entries: u64,
    /// Values that blocks take and give.
    values: u64,
}

impl Branches {
    fn of(body: &FunctionBody<'_>, module: &Reading) -> Result<Self, BinaryReaderError> {
        let mut branches = Self::default();
        // Which of the open blocks are loops.
        let mut open = Vec::new();
        let mut depth = 0_u64;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (blockty, is_loop) = match operators.read()? {
                Operator::Loop { blockty } => (blockty, true),
                Operator::Block { blockty } | Operator::If { blockty } => (blockty, false),
                Operator::TryTable { try_table } => (try_table.ty, false),
                Operator::BrTable { targets } => {
                    branches.entries += u64::from(targets.len());
                    continue;
                }
                Operator::End => {
                    depth -= u64::from(open.pop() == Some(true));
                    continue;
                }
                _ => continue,
            };
            open.push(is_loop);
            depth += u64::from(is_loop);
            branches.count += 1;
            branches.depths += if is_loop { depth } else { 0 };
            if let BlockType::FuncType(of) = blockty {
                let (params, results) = module.arity(of);
                branches.values += params + results;
            }
        }
        Ok(branches)
    }
}

/// Holds a count against its bound. The function is asked for only where a message names it.
fn bound(
    function: impl Fn() -> Option<(u32, Option<String>)>,
    what: &'static str,
    count: u64,
    most: u64,
) -> Result<(), Uncounted> {
    if count <= most {
        return Ok(());
    }
    Err(Uncounted::Bound(Box::new(Bound { function: function(), what, count, most })))
}

/// The name of a function, if the file is a module that names its functions.
fn name_of(file: &[u8], function: u32) -> Option<String> {
    if Parser::is_component(file) {
        return None;
    }
    for payload in Parser::new(0).parse_all(file) {
        let Payload::CustomSection(section) = payload.ok()? else { continue };
        let KnownCustom::Name(names) = section.as_known() else { continue };
        for names in names {
            let Name::Function(map) = names.ok()? else { continue };
            let found = map.into_iter().flatten().find(|naming| naming.index == function);
            return found.map(|naming| crate::base::log::shown(naming.name));
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use wasm_encoder::{
        BlockType, CodeSection, Function, FunctionSection, Instruction, MemorySection, MemoryType, Module, NameMap,
        NameSection, TypeSection, ValType,
    };

    use super::*;

    /// A module of so many functions, whose last one has so many local variables and loops.
    fn module(functions: u32, locals: u32, loops: u32) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
        for n in 1..=functions {
            declared.function(0);
            let last = n == functions;
            let mut function = Function::new(if last { vec![(locals, ValType::I32)] } else { vec![] });
            for _ in 0..if last { loops } else { 0 } {
                function.instruction(&Instruction::Loop(BlockType::Empty)).instruction(&Instruction::End);
            }
            code.function(function.instruction(&Instruction::End));
        }
        let mut names = NameSection::new();
        let mut map = NameMap::new();
        map.append(functions - 1, "last");
        names.functions(&map);
        let mut module = Module::new();
        module.section(&types).section(&declared).section(&code).section(&names);
        module.finish()
    }

    fn refused(module: &[u8]) -> String {
        match Census::of(module) {
            Err(Uncounted::Bound(bound)) => bound.to_string(),
            Err(Uncounted::Unreadable(reason)) => reason,
            Ok(_) => "no".to_owned(),
        }
    }

    #[test]
    fn what_a_function_costs_is_bounded_and_the_function_named() {
        let (locals, branches) = (FUNCTION_LOCALS as u32, FUNCTION_BRANCHES as u32);
        assert_eq!(refused(&module(2, locals, 1)), "no");
        let message = format!("its function 1 (`last`) has {} local variables, and {locals} is the most", locals + 1);
        assert_eq!(refused(&module(2, locals + 1, 1)), message);
        assert_eq!(refused(&module(1, 1, branches)), "no");
        let message =
            format!("its function 0 (`last`) has {} loops and branches, and {branches} is the most", branches + 1);
        assert_eq!(refused(&module(1, 1, branches + 1)), message);
        // 820 loops count as 820 and a quarter.
        let most = FUNCTION_WORK as u32;
        assert_eq!(refused(&module(1, most / 1025, 820)), "no");
        let over = (most / 1025 + 1) * 1025;
        let message = format!(
            "its function 0 (`last`) has {over} local variables times nested loops and branches, and {most} is the most"
        );
        assert_eq!(refused(&module(1, most / 1025 + 1, 820)), message);
    }

    #[test]
    fn functions_are_counted_together_in_all_modules() {
        let most = MODULE_FUNCTIONS as u32;
        assert_eq!(refused(&module(most, 0, 0)), "no");
        let message = format!("it has {} functions, and {most} is the most", most + 1);
        assert_eq!(refused(&module(most + 1, 0, 0)), message);
        let half = module(most / 2 + 1, 0, 0);
        let mut two = wasm_encoder::Component::new();
        two.section(&wasm_encoder::RawSection { id: 1, data: &half });
        two.section(&wasm_encoder::RawSection { id: 1, data: &half });
        let message = format!("it has {} functions, and {most} is the most", most / 2 * 2 + 2);
        assert_eq!(refused(&two.finish()), message);
    }

    #[test]
    fn the_work_of_all_functions_is_bounded_and_so_is_all_else_that_is_listed() {
        let work = Census { work: MODULE_WORK, ..Census::default() };
        assert_eq!(work.check().map_err(drop), Ok(()));
        assert!(Census { work: MODULE_WORK + 1, ..work }.check().is_err());
        let items = Census { items: MODULE_ITEMS, ..Census::default() };
        assert_eq!(items.check().map_err(drop), Ok(()));
        assert!(Census { items: MODULE_ITEMS + 1, ..items }.check().is_err());
        let counted = Census::of(&module(3, 10, 7)).map_err(drop).unwrap();
        assert_eq!((counted.functions, counted.work, counted.items, counted.weight()), (3, 80, 2, 1));
        let mut nested = Function::new([]);
        (0..9).for_each(|_| _ = nested.instruction(&Instruction::Loop(BlockType::Empty)));
        (0..10).for_each(|_| _ = nested.instruction(&Instruction::End));
        let nested = nested.into_raw_body();
        let body = FunctionBody::new(wasmparser::BinaryReader::new(&nested, 0));
        let branches = Branches::of(&body, &Reading::default()).unwrap();
        assert_eq!((branches.count, branches.depths), (9, 45), "each loop counts for those that it stands in");
        let module = Reading { types: vec![(1000, 0)], declared: vec![0], ..Reading::default() };
        let work = module.work(&body, b"").map_err(drop).unwrap();
        assert_eq!(work, 1000 * (45 + 2), "parameters are local variables, too");
    }

    #[test]
    fn memory_is_what_all_memories_begin_with() {
        let mut memories = MemorySection::new();
        for minimum in [2, 3] {
            memories.memory(MemoryType {
                minimum,
                maximum: None,
                memory64: false,
                shared: false,
                page_size_log2: None,
            });
        }
        let mut module = Module::new();
        module.section(&memories);
        let census = Census::of(&module.finish()).map_err(drop).unwrap();
        assert_eq!((census.memory, census.weight()), (5 << 16, 2));
        assert!(matches!(Census::of(b"\0asm"), Err(Uncounted::Unreadable(_))));
    }
}
