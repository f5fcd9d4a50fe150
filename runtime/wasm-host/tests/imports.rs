//! The border that guests call across: every import of both lanes, with whatever numbers, lengths and memory chance gives.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::made::{CONFIG_AT, HEAP, Import, World};
use common::{exchange, rig};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tidegate_engine::hook::{Abi, Capability, Hook, HookFaultKind};
use tidegate_wasm_host::{Extension, ExtensionSpec, Host, Pool, Reach};
use wasm_encoder::{Instruction as I, MemArg, ValType};

/// The most arguments that an import has.
const ARGUMENTS: usize = 17;
/// Bytes of the configuration that make a number, of seven bits each.
const DIGITS: usize = 10;

const EVERYTHING: &str = "world guest { include tidegate:extension/imports@0.1.0; \
    export tidegate:extension/lifecycle@0.1.0; export tidegate:extension/on-request@0.1.0; }";

/// What only components have: the other lane is tested without.
const ONLY_COMPONENTS: &str = "tidegate:extension/outbound@0.1.0";

/// A guest that calls the import and passes the arguments that its configuration says: first the number of the
/// import, then what the allocator answers from then on, then the arguments.
fn guest(world: &World) -> Vec<u8> {
    let mut run = Vec::new();
    let byte = |at: usize| MemArg { offset: u64::from(CONFIG_AT) + at as u64, align: 0, memory_index: 0 };
    let number = |run: &mut Vec<I<'static>>, argument: usize| {
        run.push(I::I64Const(0));
        for digit in 0..DIGITS {
            run.extend([
                I::I32Const(0),
                I::I64Load8U(byte(argument * DIGITS + digit)),
                I::I64Const(7 * digit as i64),
                I::I64Shl,
                I::I64Or,
            ]);
        }
    };
    for (at, Import { params, result, .. }) in world.imports.iter().enumerate() {
        number(&mut run, 0);
        run.extend([I::I64Const(at as i64), I::I64Eq, I::If(wasm_encoder::BlockType::Empty)]);
        for (argument, param) in params.iter().enumerate() {
            number(&mut run, argument + 2);
            match param {
                ValType::I32 => run.push(I::I32WrapI64),
                ValType::F64 => run.push(I::F64ReinterpretI64),
                _ => {}
            }
        }
        number(&mut run, 1);
        run.extend([I::I32WrapI64, I::GlobalSet(HEAP), I::Call(at as u32)]);
        if result.is_some() {
            run.push(I::Drop);
        }
        run.push(I::End);
    }
    world.module(&[], &run)
}

/// All that may be allowed; the module is made here, and none is built.
fn everything() -> ExtensionSpec {
    ExtensionSpec {
        name: "made".to_owned(),
        module: Arc::default(),
        config: String::new(),
        memory: 16 << 20,
        time: Duration::from_millis(50),
        instances: 1,
        fresh: false,
        abi: Abi::Tidegate,
        allow: Capability::ALL.to_vec(),
        reach: Reach::default(),
    }
}

struct Lane {
    world: World,
    module: Arc<[u8]>,
    /// Keeps the code, which is compiled once.
    _loaded: Arc<Extension>,
}

struct Lanes {
    host: Host,
    core: Lane,
    component: Lane,
}

fn lanes() -> &'static Lanes {
    static LANES: OnceLock<Lanes> = OnceLock::new();
    LANES.get_or_init(|| {
        let all = World::new(EVERYTHING);
        let mut few = World::new(EVERYTHING);
        few.imports.retain(|import| import.interface != ONLY_COMPONENTS);
        let component = wit_component::ComponentEncoder::default().module(&guest(&all)).unwrap().encode().unwrap();
        let host = rig().host;
        let lane = |world: World, module: Vec<u8>| {
            let module: Arc<[u8]> = module.into();
            let config = digits(i64::MAX);
            let spec = ExtensionSpec { module: Arc::clone(&module), config, ..everything() };
            Lane { world, module, _loaded: host.load(&spec).unwrap() }
        };
        let (core, component) = (
            {
                let module = guest(&few);
                lane(few, module)
            },
            lane(all, component),
        );
        Lanes { core, component, host }
    })
}

/// A number at an edge, or any.
fn number() -> impl Strategy<Value = i64> {
    let edges = [
        0,
        1,
        3,
        7,
        8,
        64,
        i64::from(CONFIG_AT),
        131_064,
        131_071,
        131_072,
        131_073,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff8,
        0xffff_ffff,
        i64::MAX,
        i64::MIN,
        0x7ff8_0000_0000_0000,
    ];
    prop_oneof![4 => prop::sample::select(edges.to_vec()), 3 => 0_i64..200_000, 1 => any::<i64>()]
}

/// As the configuration carries it.
fn digits(number: i64) -> String {
    (0..DIGITS).map(|digit| char::from(((number as u64 >> (7 * digit)) & 0x7f) as u8)).collect()
}

fn call(lane: &Lane, import: usize, heap: i64, arguments: &[i64]) -> Result<(), String> {
    let import = import % lane.world.imports.len();
    let numbers = [import as i64, heap].into_iter().chain(arguments.iter().copied());
    let config: String = numbers.map(digits).collect();
    let spec = ExtensionSpec { module: Arc::clone(&lane.module), config, ..everything() };
    let mut pool = Pool::new(lanes().host.load(&spec).map_err(|error| error.to_string())?);
    let (back, verdict) = pool.call(Hook::Request, exchange(&[("x-kept", "1")]));
    // Whatever it did, what belongs to the gateway is as it was.
    for name in ["connection", "content-length", "host", "transfer-encoding", "upgrade"] {
        if back.request.headers.contains_key(name) {
            return Err(format!("it wrote `{name}`"));
        }
    }
    if back.request_id != 1 || back.response.as_ref().is_none_or(|response| response.status != 200) {
        return Err("it changed what it cannot".to_owned());
    }
    match verdict {
        Err(fault) if fault.kind == HookFaultKind::Instance => Err(fault.message),
        Err(fault) if fault.message.contains(['\n', '\r']) => Err(format!("not a line: {}", fault.message)),
        _ => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_import_can_be_called_so_that_the_host_breaks(
        import in any::<usize>(),
        heap in number(),
        arguments in prop::collection::vec(number(), ARGUMENTS),
    ) {
        let lanes = lanes();
        for lane in [&lanes.core, &lanes.component] {
            call(lane, import, heap, &arguments).map_err(TestCaseError::fail)?;
        }
    }
}

#[test]
fn every_import_is_among_them() {
    let of = |lane: &Lane| lane.world.imports.iter().map(|import| import.params.len()).collect::<Vec<_>>();
    let (core, component) = (of(&lanes().core), of(&lanes().component));
    assert_eq!(component.len(), core.len() + 1, "all but `outbound.fetch` are in both lanes");
    assert!(core.len() > 40, "{} imports", core.len());
    assert!(component.iter().all(|params| *params + 2 <= ARGUMENTS + 2));
    // What a guest means to do works: the numbers get through.
    let lane = &lanes().core;
    let set = lane
        .world
        .imports
        .iter()
        .position(|import| import.interface.contains("/write-request-headers@") && import.function == "remove");
    let config: String =
        [set.unwrap() as i64, i64::from(CONFIG_AT), i64::from(CONFIG_AT) + 500, 6].map(digits).concat()
            + &"\0".repeat(500 - 4 * DIGITS)
            + "x-kept";
    let spec = ExtensionSpec { module: Arc::clone(&lane.module), config, ..everything() };
    let mut pool = Pool::new(lanes().host.load(&spec).unwrap());
    let (back, verdict) = pool.call(Hook::Request, exchange(&[("x-kept", "1")]));
    assert!(verdict.is_ok() && !back.request.headers.contains_key("x-kept"), "{verdict:?}");
}
