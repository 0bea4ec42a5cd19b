//! What Rust and the shaders say of the same memory is the same.

use farpane_shaders::{ALL, Binding, Job, Picture, Place, Record, Shader};
use naga::{AddressSpace, StorageAccess, TypeInner};

fn module(source: &str) -> naga::Module {
    naga::front::wgsl::parse_str(source).expect("valid")
}

#[test]
fn structures_lie_in_memory_as_the_shaders_have_them() {
    let (mut seen, mut lists) = (0, 0);
    for shader in ALL {
        for (_, ty) in module(shader.source).types.iter() {
            let (Some(name), TypeInner::Struct { members, span }) = (&ty.name, &ty.inner) else { continue };
            let size = match name.as_str() {
                "Picture" => size_of::<Picture>(),
                "Job" => size_of::<Job>(),
                "Record" => size_of::<Record>(),
                "Place" => size_of::<Place>(),
                "Head" => {
                    let places = members.last().expect("members");
                    assert_eq!(places.offset, 4 * farpane_shaders::HEAD_WORDS, "{}", shader.name);
                    continue;
                }
                "Changed" => {
                    let cells = members.last().expect("members");
                    assert_eq!(cells.offset, 4 * farpane_shaders::CHANGED_WORDS, "{}", shader.name);
                    let heads = members.iter().take(4).filter_map(|m| m.name.as_deref());
                    assert_eq!(
                        heads.collect::<Vec<_>>(),
                        ["columns", "rows", "layers", "count"],
                        "a dispatch's arguments first"
                    );
                    lists += 1;
                    continue;
                }
                other => panic!("{}: what is {other}?", shader.name),
            };
            assert_eq!(*span as usize, size, "{}: {name}", shader.name);
            assert!(
                members.iter().enumerate().all(|(i, m)| m.offset == 4 * i as u32),
                "{}: {name}: words in a row",
                shader.name
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 10, "Picture in all, Record in three, Job in two and Place in one");
    assert_eq!(lists, 4, "Changed in all");
}

#[test]
fn names_and_bindings_are_the_shaders_own() {
    for shader in ALL {
        let module = module(shader.source);
        assert_eq!(module.entry_points.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), [shader.name]);
        let mut bindings: Vec<(u32, Binding)> = module
            .global_variables
            .iter()
            .filter_map(|(_, v)| {
                let binding = match v.space {
                    AddressSpace::Uniform => Binding::Uniform,
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Binding::Write,
                    AddressSpace::Storage { .. } => Binding::Read,
                    AddressSpace::Handle => Binding::Image,
                    _ => return None,
                };
                let place = v.binding?;
                assert_eq!(place.group, 0);
                Some((place.binding, binding))
            })
            .collect();
        bindings.sort_by_key(|(at, _)| *at);
        let want: Vec<_> = (0..).zip(shader.bindings.iter().copied()).collect();
        assert_eq!(bindings, want, "{}", shader.name);
    }
}

#[test]
fn shaders_use_integers_only_but_for_texels() {
    let of_words = |shader: &Shader| !shader.bindings.contains(&Binding::Image);
    for shader in ALL.into_iter().filter(of_words) {
        for (_, ty) in module(shader.source).types.iter() {
            let scalar = match ty.inner {
                TypeInner::Scalar(s) | TypeInner::Atomic(s) => s,
                TypeInner::Vector { scalar, .. } => scalar,
                _ => continue,
            };
            assert_ne!(scalar.kind, naga::ScalarKind::Float, "{}", shader.name);
        }
    }
}
