//! Custom kinds with kubectl 1.37: a definition and its objects from files, columns, explain, apply, scale, and the end
//! of both. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: colors.lab.example.com}
spec:
  group: lab.example.com
  scope: Namespaced
  names: {plural: colors, singular: color, kind: Color, shortNames: [col], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Paint, type: string, jsonPath: .spec.paint}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: Color is what a wall has.
        properties:
          spec:
            type: object
            required: [paint]
            properties:
              paint: {type: string, enum: [red, blue], description: What it is painted with.}
              replicas: {type: integer, minimum: 0, default: 1}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

const OBJECT: &str = r#"
apiVersion: lab.example.com/v1
kind: Color
metadata: {name: wall}
spec: {paint: red}
"#;

/// A file in the lab's home.
fn file(lab: &Lab, name: &str, text: &str) -> String {
    lab.ok(&format!("cat > {name} <<'END'\n{text}\nEND"));
    name.to_owned()
}

#[test]
fn a_definition_and_its_objects() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let definition = file(&lab, "crd.yaml", DEFINITION);
        let object = file(&lab, "color.yaml", OBJECT);
        lab.ok(&format!("kubectl apply -f {definition}"));
        lab.ok("kubectl wait --for=condition=Established crd/colors.lab.example.com --timeout=90s");
        assert!(lab.ok("kubectl get crd").contains("colors.lab.example.com"));
        assert!(lab.ok("kubectl api-resources --api-group=lab.example.com").contains("colors   col"));
        assert_eq!(lab.ok(&format!("kubectl apply -f {object}")), "color.lab.example.com/wall created\n");
        assert_eq!(lab.ok(&format!("kubectl apply -f {object}")), "color.lab.example.com/wall unchanged\n");
        let rows = lab::rows(&lab.ok("kubectl get col"));
        assert_eq!(
            (rows[0].as_slice(), &rows[1][..2]),
            (&["NAME", "PAINT", "AGE"].map(String::from)[..], &["wall", "red"].map(String::from)[..])
        );
        assert!(lab.ok("kubectl get all").contains("color.lab.example.com/wall"));
        let explained = lab.ok("kubectl explain color.spec.paint");
        assert!(explained.contains("What it is painted with."), "{explained}");
        assert_eq!(lab.ok("kubectl get color wall -o jsonpath={.spec.replicas}"), "1");
        lab.ok("kubectl scale color wall --replicas=3");
        assert_eq!(lab.ok("kubectl get color wall -o jsonpath={.spec.replicas}"), "3");
        let wrong = lab.fails("sed s/red/green/ color.yaml | kubectl apply -f -");
        assert!(wrong.err.contains("spec.paint: Unsupported value: \"green\""), "{}", wrong.err);
        let strict = lab.fails("sed 's/paint: red/paint: red, foo: 1/' color.yaml | kubectl apply -f -");
        assert!(strict.err.contains("unknown field \"spec.foo\""), "{}", strict.err);
        lab.ok("sed s/red/blue/ color.yaml | kubectl apply --server-side --force-conflicts -f -");
        lab.ok("EDITOR=\"sed -i s/blue/red/\" kubectl edit color wall");
        assert_eq!(lab.ok("kubectl get color wall -o jsonpath={.spec.paint}"), "red");
        lab.ok(r#"kubectl patch color wall --type=merge -p '{"metadata":{"labels":{"a":"b"}}}'"#);
        assert!(lab.ok("kubectl describe color wall").contains("Paint:"));
        // An owner takes custom objects with it, and a namespace its own.
        lab.ok("kubectl create namespace walls && kubectl apply -n walls -f color.yaml && kubectl delete namespace walls --timeout=90s");
        assert!(!lab.ok("kubectl get colors -A").contains("walls"));
        lab.ok(&format!("kubectl delete -f {definition} --timeout=90s"));
        let gone = lab.fails("kubectl get colors");
        // kubectl still has the discovery of a moment ago.
        let words = ["could not find the requested resource", "doesn't have a resource type"];
        assert!(words.iter().any(|words| gone.err.contains(words)), "{}", gone.err);
    });
}
