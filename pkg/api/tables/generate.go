//go:build ignore

// Writes types.txt: for every message of Kubernetes' stable API groups its fields with JSON name, protobuf number,
// type, pointer-ness, omitempty, and what patches need (merge keys, list and map types, defaults).
// The facts come from the struct tags and comment markers of the Go modules k8s.io/api, k8s.io/apimachinery,
// k8s.io/apiextensions-apiserver and k8s.io/kube-aggregator (Apache-2.0). Run by hand when the version moves:
//
//	go mod init tables && go mod download -json k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2 ... && go run generate.go > types.txt
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
)

const version = "v0.37.2"

// Go import path -> prefix of the upstream schema name.
var packages = map[string]string{}

type named struct {
	pkg   string
	spec  *ast.TypeSpec
	doc   *ast.CommentGroup
	files map[string]string // import name -> path, of the file it is in
}

var types = map[string]named{} // "path.Name"

func main() {
	module := func(path string) string {
		out, err := exec.Command("go", "env", "GOMODCACHE").Output()
		if err != nil {
			panic(err)
		}
		return filepath.Join(strings.TrimSpace(string(out)), path+"@"+version)
	}
	api := []string{"admissionregistration/v1", "apps/v1", "authentication/v1", "authorization/v1", "autoscaling/v1", "autoscaling/v2",
		"batch/v1", "certificates/v1", "coordination/v1", "core/v1", "discovery/v1", "events/v1", "flowcontrol/v1", "networking/v1", "node/v1",
		"policy/v1", "rbac/v1", "resource/v1", "scheduling/v1", "scheduling/v1alpha3", "storage/v1", "storagemigration/v1"}
	for _, p := range api {
		load(module("k8s.io/api")+"/"+p, "k8s.io/api/"+p, "io.k8s.api."+strings.ReplaceAll(p, "/", "."))
	}
	for _, p := range []string{"pkg/apis/meta/v1", "pkg/api/resource", "pkg/util/intstr", "pkg/runtime", "pkg/types"} {
		load(module("k8s.io/apimachinery")+"/"+p, "k8s.io/apimachinery/"+p, "io.k8s.apimachinery."+strings.ReplaceAll(p, "/", "."))
	}
	p := "pkg/apis/apiextensions/v1"
	load(module("k8s.io/apiextensions-apiserver")+"/"+p, "k8s.io/apiextensions-apiserver/"+p, "io.k8s.apiextensions-apiserver."+strings.ReplaceAll(p, "/", "."))
	p = "pkg/apis/apiregistration/v1"
	load(module("k8s.io/kube-aggregator")+"/"+p, "k8s.io/kube-aggregator/"+p, "io.k8s.kube-aggregator."+strings.ReplaceAll(p, "/", "."))

	fmt.Printf("# Facts from the struct tags of Kubernetes' Go API modules %s (Apache-2.0), written by generate.go; do not edit.\n", version)
	fmt.Println("# @SCHEMA [a=atomic]")
	fmt.Println("# JSON-NAME NUMBER TYPE [FLAG...]")
	fmt.Println("# TYPE: * pointer, [ list, { map by string; then s string, b bool, i integer, f float, y bytes, or a schema")
	fmt.Println("# FLAG: o omitempty, z omitzero, n inlined in JSON, a atomic, p=patch strategy, k=patch merge key, l=list type[:keys], d=default as JSON")
	var names []string
	for n := range types {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		emit(n)
	}
}

func load(dir, path, schema string) {
	packages[path] = schema
	set := token.NewFileSet()
	files, _ := filepath.Glob(dir + "/*.go")
	if len(files) == 0 {
		panic("nothing in " + dir)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || strings.Contains(f, "generated") {
			continue
		}
		tree, err := parser.ParseFile(set, f, nil, parser.ParseComments)
		if err != nil {
			panic(err)
		}
		imports := map[string]string{}
		for _, i := range tree.Imports {
			p := strings.Trim(i.Path.Value, `"`)
			n := filepath.Base(p)
			if i.Name != nil {
				n = i.Name.Name
			}
			imports[n] = p
		}
		for _, d := range tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				t := s.(*ast.TypeSpec)
				doc := t.Doc
				if doc == nil {
					doc = g.Doc
				}
				types[path+"."+t.Name.Name] = named{path, t, doc, imports}
			}
		}
	}
}

func markers(groups ...*ast.CommentGroup) map[string][]string {
	found := map[string][]string{}
	for _, g := range groups {
		if g == nil {
			continue
		}
		for _, c := range g.List {
			line := strings.TrimSpace(strings.TrimPrefix(c.Text, "//"))
			if strings.HasPrefix(line, "+") {
				key, value, _ := strings.Cut(line[1:], "=")
				found[key] = append(found[key], strings.TrimSpace(value))
			}
		}
	}
	return found
}

func emit(name string) {
	t := types[name]
	s, ok := t.spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	var lines []string
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		proto := tag.Get("protobuf")
		if proto == "" || proto == "-" {
			continue
		}
		number := strings.Split(proto, ",")[1]
		js := strings.Split(tag.Get("json"), ",")
		kind := typeOf(t, f.Type, "")
		var flags []string
		for _, o := range js[1:] {
			switch o {
			case "omitempty":
				flags = append(flags, "o")
			case "omitzero":
				flags = append(flags, "z")
			case "inline":
				flags = append(flags, "n")
			}
		}
		field := js[0]
		if field == "-" {
			continue
		}
		if field == "" {
			if len(f.Names) > 0 {
				continue // JSONSchemaPropsOrArray and its like marshal themselves
			}
			field, flags = "-", []string{"n"}
		}
		m := markers(f.Doc, f.Comment)
		if v := tag.Get("patchStrategy"); v != "" {
			flags = append(flags, "p="+v)
		}
		if v := tag.Get("patchMergeKey"); v != "" {
			flags = append(flags, "k="+v)
		}
		list := append(m["listType"], m["k8s:listType"]...)
		keys := m["listMapKey"]
		if len(keys) == 0 {
			keys = m["k8s:listMapKey"]
		}
		if len(list) > 0 {
			l := "l=" + list[0]
			if len(keys) > 0 {
				l += ":" + strings.Join(keys, ",")
			}
			flags = append(flags, l)
		}
		if has(m["structType"], "atomic") || has(m["mapType"], "atomic") {
			flags = append(flags, "a")
		}
		if d := m["default"]; len(d) > 0 && !strings.HasPrefix(d[0], "ref(") && !strings.Contains(d[0], " ") {
			flags = append(flags, "d="+d[0])
		}
		lines = append(lines, strings.TrimSpace(field+" "+number+" "+kind+" "+strings.Join(flags, " ")))
	}
	if len(lines) == 0 && len(s.Fields.List) > 0 {
		return
	}
	head := "@" + schema(name)
	if m := markers(t.doc); has(m["structType"], "atomic") || has(m["mapType"], "atomic") {
		head += " a"
	}
	fmt.Println(head)
	for _, l := range lines {
		fmt.Println(l)
	}
}

func has(values []string, v string) bool {
	for _, x := range values {
		if x == v {
			return true
		}
	}
	return false
}

func schema(name string) string {
	i := strings.LastIndex(name, ".")
	p, ok := packages[name[:i]]
	if !ok {
		fmt.Fprintln(os.Stderr, "unknown package of", name)
		return "?" + name
	}
	return p + "." + name[i+1:]
}

func typeOf(t named, e ast.Expr, prefix string) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return typeOf(t, x.X, prefix+"*")
	case *ast.ArrayType:
		if id, ok := x.Elt.(*ast.Ident); ok && id.Name == "byte" {
			return prefix + "y"
		}
		return typeOf(t, x.Elt, prefix+"[")
	case *ast.MapType:
		return typeOf(t, x.Value, prefix+"{")
	case *ast.Ident:
		switch x.Name {
		case "string":
			return prefix + "s"
		case "bool":
			return prefix + "b"
		case "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64":
			return prefix + "i"
		case "float32", "float64":
			return prefix + "f"
		}
		return resolve(t.pkg+"."+x.Name, prefix)
	case *ast.SelectorExpr:
		return resolve(t.files[x.X.(*ast.Ident).Name]+"."+x.Sel.Name, prefix)
	}
	panic(fmt.Sprintf("%s: %T", t.spec.Name.Name, e))
}

func resolve(name, prefix string) string {
	if name == "time.Duration" {
		return prefix + "i"
	}
	t, ok := types[name]
	if !ok {
		panic("unknown type " + name)
	}
	switch t.spec.Type.(type) {
	case *ast.StructType:
		return prefix + schema(name)
	case *ast.ArrayType:
		// ExtraValue and Verbs are messages with one repeated field in protobuf.
		if m := markers(t.doc); len(m["protobuf.nullable"]) > 0 {
			return prefix + schema(name)
		}
	}
	return typeOf(t, t.spec.Type, prefix)
}
