//! What would fail when a template is rendered, found before: words that there are not, and expressions
//! that fail whatever value their fields have. Branches that no test reaches are read like all others.
//!
//! Every expression is computed on a few values of the kind that its fields hold ([`schema`]). What
//! is not known (a loop's variable, `raw.*`) is tried as text and number, or not at all, so that no
//! template is refused which can be shown.

use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::machinery::ast::{
    BinOpKind, CallArg, CallType, Expr, Filter, Spanned, Stmt, UnaryOpKind,
};
use minijinja::machinery::{self};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind};

use super::explain;
use super::language::WordKind;
use crate::base::suggest;
use crate::event::schema::{self, Kind};

/// The values that one expression is tried with at most.
const TRIED_MAX: usize = 16;

/// Something that would fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where in the template's text.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// All that would fail in a template that reads.
pub(super) fn find(source: &str, environment: &Environment<'static>) -> Vec<Fault> {
    let Ok(tree) = machinery::parse(source, "template", SyntaxConfig::default()) else {
        return Vec::new();
    };
    let mut own = BTreeSet::from(["loop", "caller", "self"]);
    declared(&tree, &mut own);
    let mut finder = Finder { source, environment, own, faults: Vec::new() };
    finder.statement(&tree);
    finder.faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    finder.faults.dedup();
    finder.faults
}

struct Finder<'s, 'e> {
    source: &'s str,
    environment: &'e Environment<'static>,
    /// The names that the template itself gives to something.
    own: BTreeSet<&'s str>,
    faults: Vec<Fault>,
}

/// The values that an expression was tried with; none: nothing is known of it.
type Tried = Vec<Value>;

impl<'s> Finder<'s, '_> {
    fn statements(&mut self, all: &[Stmt<'s>]) {
        for one in all {
            self.statement(one);
        }
    }

    fn statement(&mut self, statement: &Stmt<'s>) {
        match statement {
            Stmt::Template(s) => self.statements(&s.children),
            Stmt::EmitExpr(s) => drop(self.expression(&s.expr)),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(s) => {
                let over = self.expression(&s.iter);
                self.loops_over(&over, s.iter.span());
                s.filter_expr.iter().for_each(|filter| drop(self.expression(filter)));
                self.statements(&s.body);
                self.statements(&s.else_body);
            }
            Stmt::IfCond(s) => {
                self.expression(&s.expr);
                self.statements(&s.true_body);
                self.statements(&s.false_body);
            }
            Stmt::WithBlock(s) => {
                s.assignments.iter().for_each(|(_, value)| drop(self.expression(value)));
                self.statements(&s.body);
            }
            Stmt::Set(s) => drop(self.expression(&s.expr)),
            Stmt::SetBlock(s) => {
                s.filter.iter().for_each(|filter| drop(self.expression(filter)));
                self.statements(&s.body);
            }
            Stmt::AutoEscape(s) => {
                self.expression(&s.enabled);
                self.statements(&s.body);
            }
            Stmt::FilterBlock(s) => {
                self.expression(&s.filter);
                self.statements(&s.body);
            }
            Stmt::Block(s) => self.statements(&s.body),
            Stmt::Import(s) => self.elsewhere("import", s.span()),
            Stmt::FromImport(s) => self.elsewhere("from", s.span()),
            Stmt::Extends(s) => self.elsewhere("extends", s.span()),
            Stmt::Include(s) => self.elsewhere("include", s.span()),
            Stmt::Macro(s) => {
                s.defaults.iter().for_each(|value| drop(self.expression(value)));
                self.statements(&s.body);
            }
            Stmt::CallBlock(s) => {
                self.call(&s.call);
                self.statements(&s.macro_decl.body);
            }
            Stmt::Do(s) => self.call(&s.call),
        }
    }

    /// Another template is named: there is none.
    fn elsewhere(&mut self, statement: &str, span: machinery::Span) {
        let message = format!("`{statement}` reads another template, and there is none");
        let help = Some("write its text here".to_owned());
        self.faults.push(Fault { span: self.range(span), message, help });
    }

    fn loops_over(&mut self, over: &Tried, span: machinery::Span) {
        let failures: Vec<_> = over.iter().filter_map(|value| value.try_iter().err()).collect();
        if let Some(failure) = failures.first().filter(|_| failures.len() == over.len()) {
            let fault = Fault { span: self.range(span), message: explain(failure), help: None };
            self.faults.push(fault);
        }
    }

    fn expression(&mut self, expression: &Expr<'s>) -> Tried {
        match expression {
            Expr::Var(var) if self.own.contains(var.id) => Tried::new(),
            Expr::Var(_) | Expr::GetAttr(_) if let Some(name) = field(expression) => {
                if self.own.contains(name.split('.').next().unwrap_or_default()) {
                    return Tried::new();
                }
                samples(&name)
            }
            Expr::Var(_) => Tried::new(),
            Expr::Const(one) => vec![one.value.clone()],
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                let parts = [&slice.start, &slice.stop, &slice.step];
                parts.into_iter().flatten().for_each(|part| drop(self.expression(part)));
                Tried::new()
            }
            Expr::UnaryOp(op) => {
                let value = self.expression(&op.expr);
                match op.op {
                    UnaryOpKind::Not => Tried::new(),
                    UnaryOpKind::Neg => self.compute("-a", &[&value], op.span()),
                }
            }
            Expr::BinOp(op) => {
                let (left, right) = (self.expression(&op.left), self.expression(&op.right));
                let computed = match op.op {
                    BinOpKind::Add => "a + b",
                    BinOpKind::Sub => "a - b",
                    BinOpKind::Mul => "a * b",
                    BinOpKind::Div => "a / b",
                    BinOpKind::FloorDiv => "a // b",
                    BinOpKind::Rem => "a % b",
                    BinOpKind::Pow => "a ** b",
                    BinOpKind::Concat => "a ~ b",
                    BinOpKind::In => "a in b",
                    BinOpKind::ScOr | BinOpKind::ScAnd => return either(left, right),
                    _ => return Tried::new(),
                };
                self.compute(computed, &[&left, &right], op.span())
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| drop(self.expression(&op.expr)));
                Tried::new()
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                let met = self.expression(&choice.true_expr);
                let not_met = choice.false_expr.as_ref().map(|other| self.expression(other));
                either(met, not_met.unwrap_or_default())
            }
            Expr::Filter(filter) => self.filter(filter),
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args);
                self.known(WordKind::Test, test.name);
                Tried::new()
            }
            Expr::GetAttr(attribute) => {
                self.expression(&attribute.expr);
                Tried::new()
            }
            Expr::GetItem(item) => {
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
                Tried::new()
            }
            Expr::Call(call) => {
                self.call(call);
                match call.identify_call() {
                    CallType::Function("values") => vec![Value::from(vec!["a", "b"])],
                    _ => Tried::new(),
                }
            }
            Expr::List(list) => {
                let items: Vec<Tried> = list.items.iter().map(|one| self.expression(one)).collect();
                let firsts: Option<Vec<Value>> = items.iter().map(|t| t.first().cloned()).collect();
                firsts.map(Value::from).into_iter().collect()
            }
            Expr::Tuple(tuple) => {
                tuple.items.iter().for_each(|one| drop(self.expression(one)));
                Tried::new()
            }
            Expr::Map(map) => {
                let parts = map.keys.iter().chain(&map.values);
                parts.for_each(|part| drop(self.expression(part)));
                expression.as_const().into_iter().collect()
            }
        }
    }

    fn filter(&mut self, filter: &Spanned<Filter<'s>>) -> Tried {
        let value = filter.expr.as_ref().map(|expression| self.expression(expression));
        let arguments = self.arguments(&filter.args);
        if !self.known(WordKind::Filter, filter.name) {
            return Tried::new();
        }
        // Some filters are given the name of another, or of a test.
        let named = |at: usize| match filter.args.get(at) {
            Some(CallArg::Pos(Expr::Const(name))) => name.value.as_str().map(ToOwned::to_owned),
            _ => None,
        };
        let inner = match filter.name {
            "map" => named(0).map(|name| (WordKind::Filter, name, 0)),
            "select" | "reject" => named(0).map(|name| (WordKind::Test, name, 0)),
            "selectattr" | "rejectattr" => named(1).map(|name| (WordKind::Test, name, 1)),
            _ => None,
        };
        if let Some((kind, name, at)) = inner
            && let Some(CallArg::Pos(argument)) = filter.args.get(at)
            && !kind.names().any(|known| known == name)
        {
            self.unknown(kind, &name, self.range(argument.span()));
            return Tried::new();
        }
        let (Some(values), Some(arguments)) = (value, arguments) else { return Tried::new() };
        let tries = values.iter().take(TRIED_MAX).map(|value| {
            let all: Vec<Value> = [value].into_iter().chain(&arguments).cloned().collect();
            self.environment.empty_state().apply_filter(filter.name, &all)
        });
        let tries: Vec<_> = tries.collect();
        self.judge(tries, self.place(filter.name))
    }

    /// The values of arguments, if one is known of each.
    fn arguments(&mut self, all: &[CallArg<'s>]) -> Option<Vec<Value>> {
        let (mut values, mut named, mut all_known) = (Vec::new(), Vec::new(), true);
        for argument in all {
            let (name, expression) = match argument {
                CallArg::Pos(expression) => (None, expression),
                CallArg::Kwarg(name, expression) => (Some(*name), expression),
                CallArg::PosSplat(expression) | CallArg::KwargSplat(expression) => {
                    all_known = false;
                    (None, expression)
                }
            };
            let tried = self.expression(expression);
            // Several kinds of values would have to be tried with each other.
            all_known &= matches!(expression, Expr::Const(_));
            match (name, tried.into_iter().next()) {
                (_, None) => all_known = false,
                (None, Some(value)) => values.push(value),
                (Some(name), Some(value)) => named.push((name, value)),
            }
        }
        if !named.is_empty() {
            values.push(Kwargs::from_iter(named).into());
        }
        all_known.then_some(values)
    }

    fn call(&mut self, call: &Spanned<machinery::ast::Call<'s>>) {
        let arguments = self.arguments(&call.args);
        match call.identify_call() {
            CallType::Function(name) => {
                if self.own.contains(name)
                    || !self.known(WordKind::Function, name)
                    || name == "values"
                {
                    return;
                }
                if let Some(arguments) = arguments
                    && let Some((_, function)) =
                        self.environment.globals().find(|(n, _)| *n == name)
                {
                    let tried = function.call(&mut self.environment.empty_state(), &arguments);
                    self.judge(vec![tried], self.place(name));
                }
            }
            CallType::Method(of, name) => {
                let owner = field(of);
                if let Some(owner) = &owner
                    && self.own.contains(owner.split('.').next().unwrap_or_default())
                {
                    return;
                }
                self.expression(of);
                let message =
                    format!("expected a filter, found `.{name}(…)`: values have no methods");
                let known = WordKind::Filter.names().any(|known| known == name);
                let help = owner.filter(|_| known).map(|of| format!("write `{of} | {name}`"));
                self.faults.push(Fault { span: self.place(name), message, help });
            }
            CallType::Block(_) => {}
            CallType::Object(of) => drop(self.expression(of)),
        }
    }

    /// Whether there is such a word; else that is a fault.
    fn known(&mut self, kind: WordKind, name: &'s str) -> bool {
        let known = kind.names().any(|known| known == name);
        if !known {
            self.unknown(kind, name, self.place(name));
        }
        known
    }

    fn unknown(&mut self, kind: WordKind, name: &str, span: Range<usize>) {
        let what = kind.name();
        let near = MEANT.iter().find(|(k, word, _)| *k == kind && *word == name).map(|m| m.2);
        let near = near.or_else(|| suggest::nearest(name, kind.names()));
        let help = near.map_or_else(
            || format!("`hark docs` lists every {what} on its page about templates"),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("unknown {what} `{name}`");
        self.faults.push(Fault { span, message, help: Some(help) });
    }

    /// Computes an expression over `a` and `b` on all values that they are tried with.
    fn compute(&mut self, expression: &str, operands: &[&Tried], span: machinery::Span) -> Tried {
        let environment = self.environment;
        let Ok(compiled) = environment.compile_expression_owned(expression.to_owned()) else {
            return Tried::new();
        };
        let none = vec![Value::UNDEFINED];
        let (Some(a), b) = (operands.first(), operands.get(1)) else { return Tried::new() };
        let pairs = a.iter().flat_map(|a| b.map_or(&none, |b| *b).iter().map(move |b| (a, b)));
        let tries = pairs
            .take(TRIED_MAX)
            .map(|(a, b)| compiled.eval(minijinja::context! { a => a.clone(), b => b.clone() }));
        let tries = tries.collect();
        self.judge(tries, self.range(span))
    }

    /// What came out; if all tries failed, that is a fault.
    fn judge(&mut self, tries: Vec<Result<Value, minijinja::Error>>, span: Range<usize>) -> Tried {
        let failed = tries.iter().all(Result::is_err);
        if let Some(Err(error)) = tries.first().filter(|_| failed) {
            let of_numbers = error.kind() == ErrorKind::InvalidOperation
                && error.detail().is_some_and(|detail| detail.contains("string and number"));
            let help = of_numbers.then(|| {
                "`(x | int)` makes a number of a text, `~` puts texts together".to_owned()
            });
            self.faults.push(Fault { span, message: explain(error), help });
        }
        tries.into_iter().flatten().collect()
    }

    /// Where a name that was cut from the source stands in it.
    fn place(&self, name: &str) -> Range<usize> {
        let at = (name.as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        if self.source.get(at..at.saturating_add(name.len())) == Some(name) {
            at..at + name.len()
        } else {
            0..self.source.len()
        }
    }

    fn range(&self, span: machinery::Span) -> Range<usize> {
        let index = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let range = index(span.start_offset)..index(span.end_offset);
        let text = self.source.get(range.clone());
        match text {
            Some(text) if !text.is_empty() => range.start..range.start + text.trim_end().len(),
            _ => 0..self.source.len(),
        }
    }
}

/// Words of other languages that are near nothing here.
const MEANT: &[(WordKind, &str, &str)] = &[
    (WordKind::Filter, "uppercase", "upper"),
    (WordKind::Filter, "upcase", "upper"),
    (WordKind::Filter, "toupper", "upper"),
    (WordKind::Filter, "lowercase", "lower"),
    (WordKind::Filter, "downcase", "lower"),
    (WordKind::Filter, "tolower", "lower"),
    (WordKind::Filter, "size", "length"),
    (WordKind::Filter, "len", "length"),
    (WordKind::Filter, "json", "tojson"),
    (WordKind::Filter, "uniq", "unique"),
    (WordKind::Test, "empty", "undefined"),
    (WordKind::Test, "null", "none"),
    (WordKind::Test, "exists", "defined"),
];

fn either(left: Tried, right: Tried) -> Tried {
    if left.is_empty() || right.is_empty() { Tried::new() } else { [left, right].concat() }
}

/// The field that an expression names: `user.name`.
fn field(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Var(var) => Some(var.id.to_owned()),
        Expr::GetAttr(attribute) => Some(format!("{}.{}", field(&attribute.expr)?, attribute.name)),
        _ => None,
    }
}

/// Values that a field may have: one alone, and several.
fn samples(name: &str) -> Tried {
    let text = || vec![Value::from("x"), Value::from("7"), Value::from(vec!["x", "y"])];
    let number = || vec![Value::from(7), Value::from(vec![7, 8])];
    match name {
        "alert.value" | "alert.peak" | "alert.previous" => return [number(), text()].concat(),
        "alert.count" | "alert.firings" => return vec![Value::from(7)],
        "alert.approximate" => return vec![Value::from(false)],
        _ => {}
    }
    match schema::find(name).filter(|spec| spec.name == name).map(|spec| spec.kind) {
        Some(Kind::Keyword | Kind::Text | Kind::Ip | Kind::Date) => text(),
        Some(Kind::Number) => [number(), text()].concat(),
        Some(Kind::Bool) => vec![Value::from(true), Value::from("true")],
        Some(Kind::Place | Kind::Object) | None => Tried::new(),
    }
}

/// The names that a template gives to something, anywhere in it.
fn declared<'s>(statement: &Stmt<'s>, names: &mut BTreeSet<&'s str>) {
    let mut inside = |all: &[Stmt<'s>]| all.iter().for_each(|one| declared(one, names));
    match statement {
        Stmt::Template(s) => inside(&s.children),
        Stmt::ForLoop(s) => {
            inside(&s.body);
            inside(&s.else_body);
            targets(&s.target, names);
        }
        Stmt::IfCond(s) => {
            inside(&s.true_body);
            inside(&s.false_body);
        }
        Stmt::WithBlock(s) => {
            inside(&s.body);
            s.assignments.iter().for_each(|(target, _)| targets(target, names));
        }
        Stmt::Set(s) => targets(&s.target, names),
        Stmt::SetBlock(s) => {
            inside(&s.body);
            targets(&s.target, names);
        }
        Stmt::AutoEscape(s) => inside(&s.body),
        Stmt::FilterBlock(s) => inside(&s.body),
        Stmt::Block(s) => inside(&s.body),
        Stmt::Macro(s) => {
            inside(&s.body);
            names.insert(s.name);
            s.args.iter().for_each(|argument| targets(argument, names));
        }
        Stmt::CallBlock(s) => {
            inside(&s.macro_decl.body);
            s.macro_decl.args.iter().for_each(|argument| targets(argument, names));
        }
        Stmt::Import(s) => targets(&s.name, names),
        Stmt::FromImport(s) => {
            for (name, renamed) in &s.names {
                targets(renamed.as_ref().unwrap_or(name), names);
            }
        }
        Stmt::EmitExpr(_)
        | Stmt::EmitRaw(_)
        | Stmt::Extends(_)
        | Stmt::Include(_)
        | Stmt::Do(_) => {}
    }
}

fn targets<'s>(target: &Expr<'s>, names: &mut BTreeSet<&'s str>) {
    match target {
        Expr::Var(var) => {
            names.insert(var.id);
        }
        Expr::List(list) => list.items.iter().for_each(|one| targets(one, names)),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(|one| targets(one, names)),
        _ => {}
    }
}
