//! Guests that do what a test says, instruction by instruction: filters of proxy-wasm, which are core modules without a
//! component type.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, Instruction, MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// What a guest does in a callback, one after the other.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Adds a field to the request.
    Ask(&'static str, &'static str),
    /// Adds a field to the response.
    Say(&'static str, &'static str),
    /// Sets a variable of the request.
    Set(&'static str, &'static str),
    /// Puts a text in front of what it sees of the request's body.
    MarkRequest(&'static str),
    /// Puts a text in front of what it sees of the response's body.
    MarkResponse(&'static str),
    /// Answers with a status and a body.
    Reply(i32, &'static str),
    /// Closes the client's connection.
    Close,
    /// Asks the server group `web` for `/`.
    Call,
    /// Adds the status of the server that it called to the request's fields, as `called`, and lets the request go on.
    Tell,
    /// Does this only for the last piece of a body.
    AtEnd(&'static Act),
    /// Fails.
    Trap,
    /// Waits for a call, or for the body.
    Pause,
}

/// Functions of the host, and how many numbers they take; all answer one.
const HOST: [(&str, usize); 8] = [
    ("proxy_add_header_map_value", 5),
    ("proxy_set_property", 4),
    ("proxy_set_buffer_bytes", 5),
    ("proxy_send_local_response", 8),
    ("proxy_close_stream", 1),
    ("proxy_http_call", 10),
    ("proxy_get_header_map_value", 5),
    ("proxy_continue_stream", 1),
];
/// The numbers that a function of the host takes at most.
const MOST: usize = 10;
/// Where the host leaves what the guest asks for: an address and a length.
const ANSWER_AT: i32 = 16;
/// The memory that the guest gives the host, over and over.
const GIVEN_AT: i32 = 1024;
/// How long the guest waits for a server.
const PATIENCE_MS: i32 = 1000;
/// Where the texts begin.
const TEXTS_AT: i32 = 4096;

/// A module with these callbacks.
pub(crate) fn filter(callbacks: &[(&str, &[Act])]) -> Vec<u8> {
    let mut guest = Guest::default();
    let (mut types, mut imports, mut functions) = (TypeSection::new(), ImportSection::new(), FunctionSection::new());
    // A type of so many numbers that answers one, and one that answers nothing.
    for count in 0..=MOST {
        types.ty().function(vec![ValType::I32; count], [ValType::I32]);
        types.ty().function(vec![ValType::I32; count], []);
    }
    let of_type = |count: usize, answers: bool| u32::try_from(2 * count + usize::from(!answers)).unwrap_or_default();
    for (name, count) in HOST {
        imports.import("env", name, EntityType::Function(of_type(count, true)));
    }
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    exports.export("memory", ExportKind::Memory, 0);
    let mut define = |name: &str, (count, answers): (usize, bool), body: &[Instruction<'_>]| {
        let at = u32::try_from(HOST.len()).unwrap_or_default() + functions.len();
        exports.export(name, ExportKind::Func, at);
        functions.function(of_type(count, answers));
        let mut function = Function::new([]);
        for instruction in body.iter().chain([&Instruction::End]) {
            function.instruction(instruction);
        }
        code.function(&function);
    };
    define("proxy_abi_version_0_2_1", (0, false), &[]);
    define("proxy_on_memory_allocate", (1, true), &[Instruction::I32Const(GIVEN_AT)]);
    for (name, acts) in callbacks {
        let body: Vec<_> = acts.iter().flat_map(|act| guest.instructions(*act)).collect();
        let decides = name.ends_with("_headers") || name.ends_with("_body");
        let count = if decides {
            3
        } else if name.ends_with("_call_response") {
            5
        } else {
            1
        };
        let pauses = acts.iter().any(|act| matches!(act, Act::Pause));
        let answer = decides.then_some(Instruction::I32Const(pauses.into()));
        define(name, (count, decides), &body.into_iter().chain(answer).collect::<Vec<_>>());
    }
    let (mut memories, mut data) = (MemorySection::new(), DataSection::new());
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    data.active(0, &ConstExpr::i32_const(TEXTS_AT), guest.texts);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories);
    module.section(&exports).section(&code).section(&data);
    module.finish()
}

/// The texts of a guest, as they lie in its memory.
#[derive(Default)]
struct Guest {
    texts: Vec<u8>,
}

impl Guest {
    /// Where a text lies, and its length.
    fn text(&mut self, text: &[u8]) -> [Instruction<'static>; 2] {
        let number = |count: usize| i32::try_from(count).unwrap_or_default();
        let at = TEXTS_AT + number(self.texts.len());
        self.texts.extend_from_slice(text);
        [Instruction::I32Const(at), Instruction::I32Const(number(text.len()))]
    }

    /// The arguments that add a field to a head.
    fn field(&mut self, head: i32, name: &str, value: &str) -> Vec<Instruction<'static>> {
        [&[Instruction::I32Const(head)][..], &self.text(name.as_bytes()), &self.text(value.as_bytes())].concat()
    }

    /// The arguments that put a text in front of a body, in place of none of its bytes.
    fn mark(&mut self, body: i32, text: &str) -> Vec<Instruction<'static>> {
        [&[body, 0, 0].map(Instruction::I32Const)[..], &self.text(text.as_bytes())].concat()
    }

    fn instructions(&mut self, act: Act) -> Vec<Instruction<'static>> {
        let number = Instruction::I32Const;
        let (function, arguments) = match act {
            Act::Ask(name, value) => (0, self.field(0, name, value)),
            Act::Say(name, value) => (0, self.field(2, name, value)),
            Act::Set(name, value) => (1, [self.text(name.as_bytes()), self.text(value.as_bytes())].concat()),
            Act::MarkRequest(text) => (2, self.mark(0, text)),
            Act::MarkResponse(text) => (2, self.mark(1, text)),
            Act::Reply(status, body) => {
                let body = self.text(body.as_bytes());
                (3, [&[number(status), number(0), number(0)][..], &body, &[number(0), number(0), number(-1)]].concat())
            }
            Act::Close => (4, vec![number(0)]),
            Act::Call => {
                let fields = self.text(&map(&[(":path", "/"), (":method", "GET"), (":authority", "called")]));
                let rest = [number(0), number(0), number(0), number(0), number(PATIENCE_MS), number(ANSWER_AT)];
                (5, [&self.text(b"web")[..], &fields, &rest].concat())
            }
            Act::Tell => {
                let asks =
                    [&[number(6)], &self.text(b":status")[..], &[number(ANSWER_AT), number(ANSWER_AT + 4)]].concat();
                let load = |at: i32| {
                    let place = wasm_encoder::MemArg { offset: 0, align: 2, memory_index: 0 };
                    [number(at), Instruction::I32Load(place)]
                };
                let name = [&[number(0)], &self.text(b"called")[..]].concat();
                let tells = [name, load(ANSWER_AT).to_vec(), load(ANSWER_AT + 4).to_vec()].concat();
                return [asks, call(6), tells, call(0), vec![number(0)], call(7)].concat();
            }
            Act::AtEnd(act) => {
                let asks = [Instruction::LocalGet(2), Instruction::If(BlockType::Empty)];
                return [&asks[..], &self.instructions(*act), &[Instruction::End]].concat();
            }
            Act::Trap => return vec![Instruction::Unreachable],
            Act::Pause => return Vec::new(),
        };
        [arguments, call(function)].concat()
    }
}

fn call(function: u32) -> Vec<Instruction<'static>> {
    vec![Instruction::Call(function), Instruction::Drop]
}

/// Fields as the ABI has them: how many, their lengths, and then their bytes, each with a zero behind it.
fn map(fields: &[(&str, &str)]) -> Vec<u8> {
    let length = |count: usize| u32::try_from(count).unwrap_or_default().to_le_bytes();
    let mut map = length(fields.len()).to_vec();
    fields.iter().for_each(|(name, value)| map.extend([length(name.len()), length(value.len())].concat()));
    fields.iter().for_each(|(name, value)| map.extend(format!("{name}\0{value}\0").bytes()));
    map
}
