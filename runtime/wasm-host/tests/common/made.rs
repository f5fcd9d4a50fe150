//! Guests made instruction by instruction: what no compiler would write.
//!
//! They are core modules against a world of the test's choice, with the component type inside. Their `init` asks for the request
//! hook, and their allocator gives the address of the moment, whatever is asked.

use std::path::Path;

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, Instruction, MemorySection, MemoryType, Module, RefType, TableSection,
    TableType, TypeSection, ValType,
};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmSignature, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

/// Where `init` finds its configuration.
pub const CONFIG_AT: u32 = 4096;
/// What `init` answers: an interest in the request hook.
const INTEREST_AT: u32 = 256;
/// What `run` answers: `next`.
const VERDICT_AT: u32 = 512;
/// The global that the allocator answers with.
pub const HEAP: u32 = 0;

/// An import as the core module has it.
#[derive(Debug, Clone)]
pub struct Import {
    pub interface: String,
    pub function: String,
    pub params: Vec<ValType>,
    pub result: Option<ValType>,
}

/// A world, and what it imports.
pub struct World {
    resolve: Resolve,
    world: WorldId,
    pub imports: Vec<Import>,
}

impl World {
    /// The world `guest` of this text, beside the package of the ABI.
    pub fn new(text: &str) -> Self {
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/wit");
        resolve.push_dir(wit).unwrap();
        let package = resolve.push_str("guest.wit", &format!("package test:made;\n{text}")).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut imports = Vec::new();
        for (key, item) in &resolve.worlds[world].imports {
            let WorldItem::Interface { id, .. } = item else { continue };
            for (name, function) in &resolve.interfaces[*id].functions {
                let WasmSignature { params, results, .. } = resolve.wasm_signature(AbiVariant::GuestImport, function);
                imports.push(Import {
                    interface: resolve.name_world_key(key),
                    function: name.clone(),
                    params: params.into_iter().map(core).collect(),
                    result: results.first().copied().map(core),
                });
            }
        }
        Self { resolve, world, imports }
    }

    /// A module whose `init` does `init` and whose request hook does `run`, each before it answers.
    pub fn module(&self, init: &[Instruction<'_>], run: &[Instruction<'_>]) -> Vec<u8> {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        let mut imported = ImportSection::new();
        for (at, import) in self.imports.iter().enumerate() {
            types.ty().function(import.params.iter().copied(), import.result);
            imported.import(&import.interface, &import.function, EntityType::Function(at as u32));
        }
        let first = self.imports.len() as u32;
        types.ty().function([ValType::I32; 2], [ValType::I32]); // init
        types.ty().function([], [ValType::I32]); // run
        types.ty().function([ValType::I32; 4], [ValType::I32]); // cabi_realloc
        let mut functions = FunctionSection::new();
        (first..first + 3).for_each(|at| {
            functions.function(at);
        });
        let mut tables = TableSection::new();
        let element_type = RefType::FUNCREF;
        tables.table(TableType { element_type, minimum: 1, maximum: None, table64: false, shared: false });
        let mut memories = MemorySection::new();
        memories.memory(MemoryType { minimum: 2, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut globals = GlobalSection::new();
        let global = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(global, &ConstExpr::i32_const(CONFIG_AT as i32));
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export("tidegate:extension/lifecycle@0.1.0#init", ExportKind::Func, first);
        exports.export("tidegate:extension/on-request@0.1.0#run", ExportKind::Func, first + 1);
        exports.export("cabi_realloc", ExportKind::Func, first + 2);
        let mut code = CodeSection::new();
        let mut body = |instructions: &[Instruction<'_>], last: Instruction<'_>| {
            let mut function = Function::new([(4, ValType::I32)]);
            instructions.iter().for_each(|instruction| {
                function.instruction(instruction);
            });
            function.instruction(&last).instruction(&Instruction::End);
            code.function(&function);
        };
        body(init, Instruction::I32Const(INTEREST_AT as i32));
        body(run, Instruction::I32Const(VERDICT_AT as i32));
        body(&[], Instruction::GlobalGet(HEAP));
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(INTEREST_AT as i32 + 4), [1]);
        module.section(&types).section(&imported).section(&functions).section(&tables).section(&memories);
        module.section(&globals).section(&exports).section(&code).section(&data);
        let mut bytes = module.finish();
        embed_component_metadata(&mut bytes, &self.resolve, self.world, StringEncoding::UTF8).unwrap();
        bytes
    }
}

/// A loop without an end around this.
pub fn forever<'i>(instructions: &[Instruction<'i>]) -> Vec<Instruction<'i>> {
    let mut all = vec![Instruction::Loop(BlockType::Empty)];
    all.extend_from_slice(instructions);
    all.extend([Instruction::Br(0), Instruction::End]);
    all
}

/// Asks for a larger table, and traps if it is refused.
pub fn grow_the_table<'i>() -> Vec<Instruction<'i>> {
    let refused = [Instruction::I32Const(-1), Instruction::I32Eq, Instruction::If(BlockType::Empty)];
    let mut all = vec![
        Instruction::RefNull(wasm_encoder::HeapType::FUNC),
        Instruction::I32Const(10_000),
        Instruction::TableGrow(0),
    ];
    all.extend(refused);
    all.extend([Instruction::Unreachable, Instruction::End]);
    all
}

fn core(wasm: WasmType) -> ValType {
    match wasm {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    }
}
