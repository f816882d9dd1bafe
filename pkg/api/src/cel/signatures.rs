//! The functions of expressions and what they take and yield, as one table in words (cel-go's standard library, its
//! string, list and set extensions in Kubernetes' versions, apiserver `pkg/cel/library`).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::types::Type;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Signature {
    /// Called on a value: `a.f()`.
    pub(super) member: bool,
    /// The receiver first, when it is a member.
    pub(super) takes: Vec<Type>,
    pub(super) yields: Type,
}

/// `NAME RECEIVER.(ARGUMENTS)RESULT|(ARGUMENTS)RESULT`.
const TABLE: &str = "
!_ (bool)bool
-_ (int)int|(double)double
_&&_ (bool,bool)bool
_||_ (bool,bool)bool
_?_:_ (bool,A,A)A
_==_ (A,A)bool|(int,double)bool|(double,int)bool|(int,uint)bool|(uint,int)bool|(uint,double)bool|(double,uint)bool
_!=_ (A,A)bool|(int,double)bool|(double,int)bool|(int,uint)bool|(uint,int)bool|(uint,double)bool|(double,uint)bool
_+_ (int,int)int|(uint,uint)uint|(double,double)double|(string,string)string|(bytes,bytes)bytes|(list<A>,list<A>)list<A>|(time,duration)time|(duration,time)time|(duration,duration)duration
_-_ (int,int)int|(uint,uint)uint|(double,double)double|(time,time)duration|(time,duration)time|(duration,duration)duration
_*_ (int,int)int|(uint,uint)uint|(double,double)double
_/_ (int,int)int|(uint,uint)uint|(double,double)double
_%_ (int,int)int|(uint,uint)uint
_[_] (list<A>,int)A|(map<A,B>,A)B|(optional<list<A>>,int)optional<A>|(optional<map<A,B>>,A)optional<B>
_[?_] (list<A>,int)optional<A>|(map<A,B>,A)optional<B>|(optional<list<A>>,int)optional<A>|(optional<map<A,B>>,A)optional<B>
@in (A,list<A>)bool|(A,map<A,B>)bool
size (string)int|(bytes)int|(list<A>)int|(map<A,B>)int|string.()int|bytes.()int|list<A>.()int|map<A,B>.()int
type (A)type
dyn (A)dyn
bool (bool)bool|(string)bool
int (int)int|(uint)int|(double)int|(string)int|(time)int|(duration)int
uint (uint)uint|(int)uint|(double)uint|(string)uint
double (double)double|(int)double|(uint)double|(string)double
string (string)string|(bool)string|(int)string|(uint)string|(double)string|(bytes)string|(time)string|(duration)string|(ip)string|(cidr)string
bytes (bytes)bytes|(string)bytes
timestamp (time)time|(string)time|(int)time
duration (duration)duration|(string)duration|(int)duration
contains string.(string)bool
startsWith string.(string)bool
endsWith string.(string)bool
matches string.(string)bool|(string,string)bool
getFullYear time.()int|time.(string)int
getMonth time.()int|time.(string)int
getDayOfYear time.()int|time.(string)int
getDayOfMonth time.()int|time.(string)int
getDate time.()int|time.(string)int
getDayOfWeek time.()int|time.(string)int
getHours time.()int|time.(string)int|duration.()int
getMinutes time.()int|time.(string)int|duration.()int
getSeconds time.()int|time.(string)int|duration.()int
getMilliseconds time.()int|time.(string)int|duration.()int
optional.of (A)optional<A>
optional.ofNonZeroValue (A)optional<A>
optional.none ()optional<A>
value optional<A>.()A
hasValue optional<A>.()bool
or optional<A>.(optional<A>)optional<A>
orValue optional<A>.(A)A
optional.unwrap (list<optional<A>>)list<A>
unwrapOpt list<optional<A>>.()list<A>
charAt string.(int)string
indexOf string.(string)int|string.(string,int)int|list<A>.(A)int
lastIndexOf string.(string)int|string.(string,int)int|list<A>.(A)int
lowerAscii string.()string
upperAscii string.()string
replace string.(string,string)string|string.(string,string,int)string
split string.(string)list<string>|string.(string,int)list<string>
substring string.(int)string|string.(int,int)string
trim string.()string
join list<string>.()string|list<string>.(string)string
format string.(list<dyn>)string
strings.quote (string)string
find string.(string)string
findAll string.(string)list<string>|string.(string,int)list<string>
isSorted list<A>.()bool
sum list<int>.()int|list<uint>.()uint|list<double>.()double|list<duration>.()duration
min list<A>.()A
max list<A>.()A
slice list<A>.(int,int)list<A>
flatten list<list<A>>.()list<A>|list<A>.()list<A>|list<dyn>.(int)list<dyn>
sort list<A>.()list<A>
distinct list<A>.()list<A>
reverse list<A>.()list<A>
first list<A>.()optional<A>
last list<A>.()optional<A>
lists.range (int)list<int>
includes list<A>.(A)bool
sets.contains (list<A>,list<A>)bool
sets.equivalent (list<A>,list<A>)bool
sets.intersects (list<A>,list<A>)bool
url (string)url
isURL (string)bool
getScheme url.()string
getHost url.()string
getHostname url.()string
getPort url.()string
getEscapedPath url.()string
getQuery url.()map<string,list<string>>
ip (string)ip|cidr.()ip
isIP (string)bool
ip.isCanonical (string)bool
family ip.()int
isUnspecified ip.()bool
isLoopback ip.()bool
isLinkLocalMulticast ip.()bool
isLinkLocalUnicast ip.()bool
isGlobalUnicast ip.()bool
cidr (string)cidr
isCIDR (string)bool
containsIP cidr.(ip)bool|cidr.(string)bool
containsCIDR cidr.(cidr)bool|cidr.(string)bool
masked cidr.()cidr
prefixLength cidr.()int
quantity (string)quantity
isQuantity (string)bool
sign quantity.()int
isInteger quantity.()bool
asInteger quantity.()int
asApproximateFloat quantity.()double
add quantity.(quantity)quantity|quantity.(int)quantity
sub quantity.(quantity)quantity|quantity.(int)quantity
isLessThan quantity.(quantity)bool|semver.(semver)bool
isGreaterThan quantity.(quantity)bool|semver.(semver)bool
compareTo quantity.(quantity)int|semver.(semver)int
semver (string)semver|(string,bool)semver
isSemver (string)bool|(string,bool)bool
major semver.()int
minor semver.()int
patch semver.()int
format.named (string)optional<format>
format.dns1123Label ()format
format.dns1123Subdomain ()format
format.dns1035Label ()format
format.qualifiedName ()format
format.dns1123LabelPrefix ()format
format.dns1123SubdomainPrefix ()format
format.dns1035LabelPrefix ()format
format.labelValue ()format
format.uri ()format
format.uuid ()format
format.byte ()format
format.date ()format
format.datetime ()format
validate format.(string)optional<list<string>>
jsonpatch.escapeKey (string)string
path authorizer.(string)authorizer
group authorizer.(string)authorizer
resource authorizer.(string)authorizer
subresource authorizer.(string)authorizer
namespace authorizer.(string)authorizer
name authorizer.(string)authorizer
serviceAccount authorizer.(string,string)authorizer
check authorizer.(string)decision
allowed decision.()bool
reason decision.()string
errored decision.()bool
error decision.()string
";

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut out: HashMap<&'static str, Vec<Signature>> = HashMap::new();
    let mut orders = Vec::new();
    for kind in ["bool", "int", "uint", "double", "string", "bytes", "time", "duration"] {
        orders.push(format!("({kind},{kind})bool"));
    }
    for (a, b) in
        [("int", "uint"), ("int", "double"), ("uint", "int"), ("uint", "double"), ("double", "int"), ("double", "uint")]
    {
        orders.push(format!("({a},{b})bool"));
    }
    let orders: &str = String::leak(orders.join("|"));
    let compared = ["_<_", "_<=_", "_>_", "_>=_"].map(|name| (name, &*orders));
    let lines = TABLE.lines().filter_map(|line| line.split_once(' ')).chain(compared);
    for (name, calls) in lines {
        let read = calls.split('|').filter_map(signature).collect();
        out.insert(name, read);
    }
    out
});

fn signature(text: &str) -> Option<Signature> {
    let open = text.find('(')?;
    let close = text.rfind(')')?;
    let (receiver, arguments, result) = (&text[..open], &text[open + 1..close], &text[close + 1..]);
    let mut takes = Vec::new();
    let member = receiver.ends_with('.');
    if member {
        takes.push(term(receiver.trim_end_matches('.')));
    }
    takes.extend(parts(arguments).map(term));
    Some(Signature { member, takes, yields: term(result) })
}

/// The parts between commas that stand in no angle brackets.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        depth += match c {
            '<' => 1,
            '>' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    })
    .filter(|part| !part.is_empty())
}

fn term(text: &str) -> Type {
    if let Some((name, inner)) = text.split_once('<') {
        let inner = inner.strip_suffix('>').unwrap_or(inner);
        let mut inner = parts(inner).map(|part| Box::new(term(part)));
        let mut next = || inner.next().unwrap_or_else(|| Box::new(Type::Dyn));
        return match name {
            "list" => Type::List(next()),
            "optional" => Type::Optional(next()),
            _ => Type::Map(next(), next()),
        };
    }
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Str,
        "bytes" => Type::Bytes,
        "time" => Type::Time,
        "duration" => Type::Duration,
        "type" => Type::TypeOf(Box::new(Type::Dyn)),
        "quantity" => Type::Opaque("kubernetes.Quantity"),
        "ip" => Type::Opaque("net.IP"),
        "cidr" => Type::Opaque("net.CIDR"),
        "url" => Type::Opaque("kubernetes.URL"),
        "semver" => Type::Opaque("kubernetes.Semver"),
        "format" => Type::Opaque("kubernetes.NamedFormat"),
        "authorizer" => AUTHORIZER,
        "decision" => Type::Opaque("kubernetes.authorization.Decision"),
        "A" => Type::Param('A'),
        "B" => Type::Param('B'),
        _ => Type::Dyn,
    }
}

/// The type of `authorizer`.
pub(super) const AUTHORIZER: Type = Type::Opaque("kubernetes.authorization.Authorizer");

/// The ways to call a function; `None` for one that is not known.
pub(super) fn of(name: &str) -> Option<&'static [Signature]> {
    FUNCTIONS.get(name).map(Vec::as_slice)
}

/// Whether there is a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains_key(name)
}
