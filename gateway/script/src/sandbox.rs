//! The engine: Rhai without anything that reaches out, and with every limit set.
//!
//! `Engine::new` would bring `sleep`, `eval`, `print` and a file resolver; this begins from `new_raw` and adds packages
//! one by one. Rhai's own limits leak (`m[k] = v` passes the map limit), so the progress callback also watches the clock
//! and, in a worker, the size of the process (`meter.rs`); functions that do much in one call are replaced by ones that
//! look first (`natives.rs`); what slips past all that meets the worker's rlimits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicBlobPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, BitFieldPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Engine, OptimizationLevel, module_resolvers::DummyModuleResolver};

use crate::limits::Limits;
use crate::lint::Signature;
use crate::meter::Meter;
use crate::natives;

/// Words that do not exist here, with the reason given to authors.
pub const FORBIDDEN: &[(&str, &str)] = &[
    ("eval", "text is never run as code"),
    ("import", "a script is one file"),
    ("export", "a script is one file"),
    ("print", "a script answers by its value only"),
    ("debug", "a script answers by its value only"),
    ("sleep", "a script never waits"),
    ("timestamp", "time comes with the reading"),
    ("exit", "use `return`"),
    ("curry", "pass the value as an argument of its own"),
];

/// An engine with its limits and its clock. One call at a time.
pub struct Sandbox {
    engine: Engine,
    limits: Limits,
    meter: Arc<Meter>,
    functions: OnceLock<BTreeSet<String>>,
    signatures: OnceLock<BTreeMap<String, Vec<Signature>>>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// An engine with `limits`; `register` adds the functions and types the scripts of this kind may use.
    pub fn new(limits: Limits, register: impl FnOnce(&mut Engine)) -> Self {
        let meter = Arc::new(Meter::new(&limits));
        let mut engine = engine(&limits);
        let watch = Arc::clone(&meter);
        engine.on_progress(move |_| watch.tick());
        register(&mut engine);
        Self { engine, limits, meter, functions: OnceLock::new(), signatures: OnceLock::new() }
    }

    /// The engine, to compile with. To run something use [`Sandbox::run`], which starts the clock.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Every function a script can call here.
    pub fn function_names(&self) -> &BTreeSet<String> {
        self.functions.get_or_init(|| crate::compile::function_names(&self.engine))
    }

    /// What these functions take, by name.
    pub fn signatures(&self) -> &BTreeMap<String, Vec<Signature>> {
        self.signatures.get_or_init(|| crate::lint::signatures(&self.engine))
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the last call cost, in operations, those of its callbacks included. It depends on the script and its input only.
    pub fn operations(&self) -> u64 {
        self.meter.operations()
    }

    /// Nanoseconds of processor time of the last call; 0 of short ones. It depends on the machine, too.
    pub fn spent(&self) -> u64 {
        self.meter.spent()
    }

    /// Starts the clock of one call and makes it.
    #[inline]
    pub fn run<T>(&self, call: impl FnOnce(&Engine) -> T) -> T {
        self.meter.start();
        call(&self.engine)
    }
}

/// Rhai with pure packages only and every limit of `limits` but wall time and memory, which need [`Sandbox`].
pub fn engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    // Not LanguageCorePackage (sleep, exit, parse_json, reflection) and not BasicTimePackage (the clock).
    ArithmeticPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicBlobPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BitFieldPackage::new().register_into_engine(&mut engine);
    natives::replace(&mut engine);
    language(&mut engine, limits);
    engine.set_strict_variables(true);
    engine
}

/// The same language with no function and any variable: to parse with, not to run.
pub(crate) fn parser(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    language(&mut engine, limits);
    engine.set_optimization_level(OptimizationLevel::None);
    engine
}

fn language(engine: &mut Engine, limits: &Limits) {
    engine.set_module_resolver(DummyModuleResolver::new());
    for (word, _) in FORBIDDEN {
        engine.disable_symbol(*word);
    }
    engine
        .set_max_modules(0)
        .set_max_operations(limits.operations)
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(limits.expression_depth, limits.expression_depth)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.array_items)
        .set_max_map_size(limits.map_items)
        .set_max_variables(limits.variables)
        .set_max_functions(limits.functions)
        .set_fail_on_invalid_map_property(true)
        .set_fast_operators(true);
    engine.on_print(|_| {});
    engine.on_debug(|_, _, _| {});
}
