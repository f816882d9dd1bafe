//! Expressions on values: what they yield, what the checker refuses and in which words, what they cost.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scope() -> Scope {
    let schema = json!({"type": "object", "properties": {
        "x": {"type": "integer"}, "s": {"type": "string"}, "at": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "maxItems": 725, "items": {"type": "integer"}},
        "names": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "my-way"], "items": {
            "type": "object", "properties": {"port": {"type": "integer"}, "my-way": {"type": "string"}, "name": {"type": "string"}}}},
        "any": {"x-kubernetes-int-or-string": true},
        "foo-bar": {"type": "string"}, "namespace": {"type": "string"},
    }});
    Scope::default().with("self", Decl::of_schema(&schema, "object", false).expect("a type"))
}

fn value() -> Value {
    json!({
        "x": 5, "s": "hello", "at": "2024-02-29T13:14:15Z", "list": [3, 1, 2], "names": ["a", "b"],
        "labels": {"app.x/y": "z"}, "any": "5", "foo-bar": "dash", "namespace": "ns",
        "set": ["a", "b"], "ports": [{"port": 1, "my-way": "TCP", "name": "x"}, {"port": 1, "my-way": "UDP"}],
    })
}

fn run(source: &str) -> Result<Val, String> {
    let scope = scope();
    let program = Program::compile(source, &scope)?;
    let mut bound = Bindings::default();
    bound.bind("self", from_json(&value(), scope.find("self").map(|decl| &**decl)));
    program.run(&bound).0.map_err(|error| error.to_string())
}

#[test]
fn lists_that_are_sets_or_maps() {
    let port = |way: &str, name: &str| format!("{{'port': dyn(1), 'my__dash__way': dyn('{way}'){name}}}");
    let (tcp, udp) = (port("TCP", ", 'name': dyn('x')"), port("UDP", ""));
    let renamed = port("TCP", ", 'name': dyn('y')");
    let holds = [
        // In any order where the left one is a set; a list that is written out has its order.
        "self.set == ['b', 'a'] && !(['b', 'a'] == self.set) && self.set != ['a', 'c'] && self.set != ['a', 'a'] && self.names != ['b', 'a']".to_owned(),
        "self.set + ['c', 'a'] == ['c', 'b', 'a'] && (self.set + ['c', 'a']).size() == 3 && (self.names + ['a']).size() == 3".to_owned(),
        "(self.set + ['c'] + ['c']).map(s, s) == ['a', 'b', 'c']".to_owned(),
        format!("dyn(self.ports) == [{udp}, {tcp}] && dyn(self.ports) != [{udp}, {udp}] && dyn(self.ports) != [{tcp}]"),
        format!("(dyn(self.ports) + [{renamed}])[0].name == 'y' && (dyn(self.ports) + [{}]).size() == 3", port("SCTP", "")),
        format!("dyn(self.ports) + [{renamed}] != dyn(self.ports) && dyn(self.ports) + [{tcp}] == dyn(self.ports)"),
    ];
    for source in holds {
        assert_eq!(run(&source), Ok(Val::Bool(true)), "{source}");
    }
    let nested = run("dyn(self.set) == [['a'], ['b']]");
    assert!(nested.is_err(), "{nested:?}");
}

#[test]
fn what_expressions_yield() {
    let holds = [
        "self.x == 5 && self.x > 4 && self.x != 6 && 5 == 5.0",
        "self.s.startsWith('he') && self.s.endsWith('lo') && self.s.contains('ell') && self.s.size() == 5",
        "self.list.all(i, i > 0) && self.list.exists(i, i == 3) && self.list.exists_one(i, i == 2)",
        "self.list.map(i, i * 2) == [6, 2, 4] && self.list.filter(i, i > 1) == [3, 2] && self.list.map(i, i > 1, i) == [3, 2]",
        "self.list.sum() == 6 && self.list.max() == 3 && self.list.min() == 1 && !self.list.isSorted() && self.list.indexOf(2) == 2",
        "has(self.s) && !has(self.labels.none) && 'app.x/y' in self.labels && self.labels['app.x/y'] == 'z'",
        "self.foo__dash__bar == 'dash' && self.__namespace__ == 'ns'",
        "self.?s.orValue('x') == 'hello' && !self.labels[?'no'].hasValue() && self.labels[?'no'].orValue('d') == 'd'",
        "self.at.getFullYear() == 2024 && self.at < timestamp('2025-01-01T00:00:00Z') && self.at.getHours('+02:00') == 15",
        "duration('1h30m').getMinutes() == 90 && self.at + duration('24h') > self.at",
        "quantity('1Gi').isGreaterThan(quantity('1000M')) && isQuantity('5m') && !isQuantity('x') && quantity('1k').asInteger() == 1000",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3') && isCIDR('::/0') && !isIP('1.2.3')",
        "url('https://a.b:80/p?q=1').getHostname() == 'a.b' && url('https://a.b:80/p?q=1').getPort() == '80' && isURL('/x')",
        "'abc 123'.find('[0-9]+') == '123' && '1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && 'x'.matches('^x$')",
        "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && 'abc'.substring(1) == 'bc' && 'AbC'.lowerAscii() == 'abc'",
        "'%s is %d, %.2f'.format(['x', 3, 1.5]) == 'x is 3, 1.50'",
        "sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 2], [2, 1]) && !sets.intersects([1], [2])",
        "cel.bind(n, self.x + 1, n * n) == 36 && [1, 2].transformList(i, v, i + v) == [1, 3] && {'a': 1}.all(k, v, v == 1)",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && format.dns1123Label().validate('ok') == optional.none()",
        "type(self.x) == int && string(self.x) == '5' && int('7') == 7 && self.any == '5' && dyn(1) != '1'",
        "optional.of(1).optMap(v, v + 1).value() == 2 && [?optional.none(), 1].size() == 1",
        "(self.x == 5 || 1 / 0 > 0) && (1 / 0 > 0 || true) && self.list.exists(i, 6 / (i - 3) > 0 || i == 2)",
        "[1, 2, 2].distinct() == [1, 2] && [[1], [2]].flatten() == [1, 2] && [3, 1].sort() == [1, 3] && lists.range(3) == [0, 1, 2]",
    ];
    for source in holds {
        assert_eq!(run(source), Ok(Val::Bool(true)), "{source}");
    }
}

#[test]
fn what_fails_when_it_runs() {
    for (source, text) in [
        ("1 / 0 == 1", "division by zero"),
        ("self.labels.none == ''", "no such key: none"),
        ("self.list[9] == 1", "index out of bounds: 9"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("self.any > 3", "no such overload"),
        ("optional.none().value() == 1", "optional.none() dereference"),
    ] {
        assert_eq!(run(source), Err(text.to_owned()), "{source}");
    }
}

#[test]
fn the_checker_speaks_as_cel_go() {
    for (source, text) in [
        ("self.z == 100", "ERROR: <input>:1:5: undefined field 'z'\n | self.z == 100\n | ....^"),
        ("self.x > '1'", "found no matching overload for '_>_' applied to '(int, string)'"),
        ("'n ' + self.x", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("self.x == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("nobody", "undeclared reference to 'nobody' (in container '')"),
        ("self.s.nothing()", "undeclared reference to 'nothing' (in container '')"),
        ("self.x.all(i, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("has(self)", "invalid argument to has() macro"),
        ("[1, 'a'] == []", "expected type 'int' but found 'string'"),
        ("self = 42", "Syntax error: "),
        ("self.x >", "Syntax error: "),
        ("Object{a: 1} == null", "undeclared reference to 'Object' (in container '')"),
    ] {
        let complaint = Program::compile(source, &scope()).map(|program| program.yields.to_string());
        let complaint = complaint.expect_err(source);
        assert!(complaint.contains(text) && complaint.starts_with("ERROR: <input>:1:"), "{source}: {complaint}");
    }
}

#[test]
fn costs_are_bounded_before_and_while_running() {
    let scope = scope();
    let most = |source: &str| Program::compile(source, &scope).expect(source).most;
    // cel-go: 725 * (725 * 6 + 3 + 3) and what leads there.
    let squared = most("self.list.all(x, self.list.all(y, y == x))");
    assert!((3_000_000..3_400_000).contains(&squared), "{squared}");
    assert!(most("self.names.all(s, s == 'string constant')") > 1_000_000);
    assert!(most("self.x + self.x > 0") < 10);
    let program = Program::compile("self.list.all(x, self.list.all(y, y == x))", &scope).unwrap();
    let mut bound = Bindings::default();
    bound.bind_json("self", &json!({"list": vec![20; 725]}));
    assert_eq!(program.run(&bound).0, Err(Error::TooDear));
    let long = "a".repeat(100_000);
    let mut bound = Bindings::default();
    bound.bind_json("self", &json!({"s": long, "names": vec![long.clone(); 20]}));
    for source in [
        "self.s.replace('a', self.s).size() > 0",
        "self.names.map(a, self.names.map(b, a + b + a + b)).size() > 0",
        "self.names.map(a, self.names.map(b, self.names.map(c, a == b))).size() > 0",
        "'x'.matches('(((a{100}){100}){100}){100}')",
        "lists.range(1000000000).size() > 0",
    ] {
        let outcome = Program::compile(source, &scope).expect(source).run(&bound).0;
        assert!(outcome.is_err(), "{source}: {outcome:?}");
    }
}

#[test]
fn deep_and_long_texts_are_refused_or_run() {
    let deep = format!("{}1{}", "(".repeat(2000), ")".repeat(2000));
    assert!(Program::compile(&deep, &scope()).is_err());
    assert!(Program::compile(&"1+".repeat(60_000), &scope()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_judged(source in "[a-z0-9 .()\\[\\]{}'\"?:+*/=<>!&|,-]{0,40}") {
        if let Ok(program) = Program::compile(&source, &scope()) {
            let mut bound = Bindings::default();
            bound.bind_json("self", &value());
            let (_, cost) = program.run(&bound);
            prop_assert!(cost < 2 * PER_CALL_LIMIT);
        }
    }
}
