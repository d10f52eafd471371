use proptest::prelude::*;

use super::*;
use crate::organization::Role;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn person() -> Person {
    Person {
        user_id: "usr_a".to_owned(),
        is_active: true,
        tier: Tier::Free,
        acts_in: None,
        standings: Vec::new(),
        until: now(),
    }
}

fn in_organization(plan: Plan, is_usable: bool) -> Person {
    Person {
        standings: vec![Standing {
            organization_id: "org_a".to_owned(),
            role: Role::Member,
            plan,
            is_usable,
        }],
        ..person()
    }
}

fn given(level: AccessLevel, source: Source, organization_id: &str, expires_at: Option<DateTime<Utc>>) -> Permission {
    Permission {
        id: "prm_a".to_owned(),
        user_id: "usr_a".to_owned(),
        resource_type: ResourceType::Database,
        resource_name: "d".to_owned(),
        access_level: level,
        permission_source: source,
        organization_id: organization_id.to_owned(),
        granted_by_user_id: "usr_b".to_owned(),
        expires_at,
        reason: None,
        created_at: now(),
        updated_at: now(),
    }
}

fn organizations_own(level: AccessLevel, plan: OrganizationPlan, is_enabled: bool) -> OrganizationPermission {
    OrganizationPermission {
        organization_id: "org_a".to_owned(),
        resource_type: ResourceType::Database,
        resource_name: "d".to_owned(),
        access_level: level,
        org_plan_required: plan,
        is_enabled,
        created_by_user_id: "usr_b".to_owned(),
        created_at: now(),
        updated_at: now(),
    }
}

fn entry(level: AccessLevel, tier: Tier, is_enabled: bool) -> CatalogueEntry {
    CatalogueEntry {
        resource_type: ResourceType::Database,
        resource_name: "d".to_owned(),
        resource_category: "data".to_owned(),
        description: None,
        subscription_tier_required: tier,
        access_level: level,
        is_enabled,
    }
}

fn question(level: AccessLevel, organization_id: Option<&str>) -> Question<'_> {
    Question {
        resource_type: ResourceType::Database,
        resource_name: "d",
        level,
        organization_id,
        now: now(),
    }
}

fn ask(person: &Person, evidence: &Evidence, level: AccessLevel, organization_id: Option<&str>) -> Decision {
    decide(person, evidence, question(level, organization_id), |_, _| ())
}

fn permissions(all: Vec<Permission>) -> Evidence {
    Evidence {
        permissions: all,
        ..Evidence::default()
    }
}

#[test]
fn br_acl_006_the_first_sufficient_stage_wins() {
    use AccessLevel::{Admin, Owner, ReadOnly, ReadWrite};
    let everything = Evidence {
        permissions: vec![
            given(ReadOnly, Source::AdminGrant, "", None),
            given(Owner, Source::SystemDefault, "", None),
        ],
        organizations: vec![organizations_own(ReadWrite, OrganizationPlan::Startup, true)],
        catalogue: Some(entry(Admin, Tier::Pro, true)),
    };
    let asker = Person {
        tier: Tier::Pro,
        ..in_organization(Plan::Free, true)
    };
    for (level, source, reason) in [
        (ReadOnly, Source::AdminGrant, "Admin-granted permission: read_only"),
        (ReadWrite, Source::Organization, "Organization permission: read_write"),
        (Admin, Source::Subscription, "Subscription access: admin"),
        (Owner, Source::SystemDefault, "User permission: owner"),
    ] {
        let decision = ask(&asker, &everything, level, Some("org_a"));
        assert_eq!((decision.is_granted, decision.source), (true, source));
        assert_eq!(decision.reason, reason);
    }
    let mut stages = Vec::new();
    decide(&asker, &everything, question(Admin, Some("org_a")), |stage, found| {
        stages.push((stage, found.is_ok()));
    });
    let order = [
        (Stage::AdminGrant, false),
        (Stage::Organization, false),
        (Stage::Subscription, true),
    ];
    assert_eq!(stages, order);
}

#[test]
fn br_acl_005_nobody_and_somebody_inactive_hear_the_same() {
    let nobody = Person {
        is_active: false,
        ..person()
    };
    let evidence = permissions(vec![given(AccessLevel::Owner, Source::AdminGrant, "", None)]);
    for level in AccessLevel::ALL {
        let decision = ask(&nobody, &evidence, *level, None);
        assert!(!decision.is_granted);
        assert_eq!(
            (decision.level, decision.source, decision.reason.as_str()),
            (AccessLevel::None, Source::SystemDefault, "User not found or inactive")
        );
    }
}

#[test]
fn br_acl_009_a_refusal_names_the_resource_and_the_level_and_none_is_had_by_everybody() {
    let decision = ask(&person(), &Evidence::default(), AccessLevel::Admin, None);
    assert_eq!(
        decision.reason,
        "Insufficient permissions for database:d, required: admin"
    );
    assert!(!decision.is_granted && decision.level == AccessLevel::None);
    assert!(ask(&person(), &Evidence::default(), AccessLevel::None, None).is_granted);
}

#[test]
fn ec_002_what_ends_now_has_ended() {
    let end = now() + chrono::Duration::microseconds(1);
    let lasting = permissions(vec![given(AccessLevel::Admin, Source::AdminGrant, "", Some(end))]);
    let decision = ask(&person(), &lasting, AccessLevel::Admin, None);
    assert_eq!((decision.is_granted, decision.expires_at), (true, Some(end)));
    let ended = permissions(vec![given(AccessLevel::Admin, Source::AdminGrant, "", Some(now()))]);
    assert!(!ask(&person(), &ended, AccessLevel::Admin, None).is_granted);
}

#[test]
fn br_org_what_an_organization_has_is_its_members_while_it_may_be_used_and_pays_for_it() {
    use OrganizationPlan::{Enterprise, Growth, Startup};
    let ask_with = |asker: &Person, required, is_enabled| {
        let evidence = Evidence {
            organizations: vec![organizations_own(AccessLevel::ReadWrite, required, is_enabled)],
            ..Evidence::default()
        };
        ask(asker, &evidence, AccessLevel::ReadOnly, Some("org_a")).is_granted
    };
    for (plan, required, is_granted) in [
        (Plan::Free, Startup, true),
        (Plan::Starter, Startup, true),
        (Plan::Starter, Growth, false),
        (Plan::Professional, Growth, true),
        (Plan::Professional, Enterprise, false),
        (Plan::Enterprise, Enterprise, true),
        (Plan::Enterprise, OrganizationPlan::Custom, false),
    ] {
        assert_eq!(ask_with(&in_organization(plan, true), required, true), is_granted);
        assert!(!ask_with(&in_organization(plan, true), required, false));
        assert!(!ask_with(&in_organization(plan, false), required, true));
        assert!(!ask_with(&person(), required, true));
    }
}

#[test]
fn an_organization_that_is_not_named_counts_as_if_each_member_had_been_given_it() {
    let evidence = Evidence {
        organizations: vec![organizations_own(
            AccessLevel::ReadWrite,
            OrganizationPlan::Growth,
            true,
        )],
        ..Evidence::default()
    };
    let member = in_organization(Plan::Professional, true);
    let decision = ask(&member, &evidence, AccessLevel::ReadOnly, Some("org_other"));
    assert_eq!(
        (decision.source, decision.reason.as_str()),
        (Source::Organization, "User permission: read_write")
    );
    let acting = Person {
        acts_in: Some("org_a".to_owned()),
        ..member
    };
    let decision = ask(&acting, &evidence, AccessLevel::ReadOnly, None);
    assert_eq!(decision.reason, "Organization permission: read_write");
    let (id, is, must) = decision.organization.unwrap();
    assert_eq!(
        (id.as_str(), is, must),
        ("org_a", OrganizationPlan::Growth, OrganizationPlan::Growth)
    );
}

#[test]
fn what_was_given_in_an_organization_counts_for_its_members_alone() {
    let evidence = permissions(vec![given(AccessLevel::Admin, Source::AdminGrant, "org_a", None)]);
    assert!(ask(&in_organization(Plan::Free, true), &evidence, AccessLevel::Admin, None).is_granted);
    assert!(!ask(&in_organization(Plan::Free, false), &evidence, AccessLevel::Admin, None).is_granted);
    assert!(!ask(&person(), &evidence, AccessLevel::Admin, None).is_granted);
}

#[test]
fn br_sub_tiers_are_ordered_and_a_disabled_entry_gives_nothing() {
    for (tier, required, is_enabled, reason) in [
        (Tier::Free, Tier::Free, true, None),
        (Tier::Enterprise, Tier::Pro, true, None),
        (Tier::Custom, Tier::Enterprise, true, None),
        (
            Tier::Free,
            Tier::Pro,
            true,
            Some("Subscription tier 'free' insufficient, requires 'pro'"),
        ),
        (
            Tier::Custom,
            Tier::Free,
            false,
            Some("Resource not configured for subscription access"),
        ),
    ] {
        let asker = Person { tier, ..person() };
        let evidence = Evidence {
            catalogue: Some(entry(AccessLevel::ReadWrite, required, is_enabled)),
            ..Evidence::default()
        };
        let found = by_subscription(&asker, &evidence, question(AccessLevel::ReadWrite, None));
        assert_eq!(found.err().as_deref(), reason);
        // BR-SUB-008: never more than the entry says.
        assert!(by_subscription(&asker, &evidence, question(AccessLevel::Admin, None)).is_err());
    }
    for (text, tier) in [
        ("max", Tier::Pro),
        ("team", Tier::Enterprise),
        ("gold", Tier::Free),
        ("", Tier::Free),
    ] {
        assert_eq!(Tier::of_plan(text), tier, "{text}");
    }
}

#[test]
fn ec_014_names_are_compared_as_they_are_after_normalisation() {
    assert_eq!(normal("cafe\u{301}"), normal("caf\u{e9}"));
    assert_ne!(normal("Cafe"), normal("cafe"));
    assert_ne!(normal("ｃafe"), normal("cafe"));
}

fn any_level() -> impl Strategy<Value = AccessLevel> {
    prop::sample::select(AccessLevel::ALL)
}

fn any_permission() -> impl Strategy<Value = Permission> {
    let source = prop::sample::select(Source::ALL);
    let organization = prop::sample::select(vec!["", "org_a", "org_b"]);
    let end = prop::option::of(-5_i64..5);
    (any_level(), source, organization, end).prop_map(|(level, source, organization, end)| {
        given(
            level,
            source,
            organization,
            end.map(|end| now() + chrono::Duration::seconds(end)),
        )
    })
}

fn any_case() -> impl Strategy<Value = (Person, Evidence)> {
    let plans = prop::sample::select(OrganizationPlan::ALL);
    let tiers = || prop::sample::select(Tier::ALL);
    let standing = prop::option::of((prop::sample::select(Plan::ALL), any::<bool>()));
    let own = prop::option::of((any_level(), plans, any::<bool>()));
    let catalogue = prop::option::of((any_level(), tiers(), any::<bool>()));
    let permissions = prop::collection::vec(any_permission(), 0..4);
    (standing, tiers(), any::<bool>(), own, catalogue, permissions).prop_map(
        |(standing, tier, acts, own, catalogue, permissions)| {
            let asker = match standing {
                Some((plan, is_usable)) => in_organization(plan, is_usable),
                None => person(),
            };
            let asker = Person {
                tier,
                acts_in: acts.then(|| "org_a".to_owned()),
                ..asker
            };
            let evidence = Evidence {
                permissions,
                organizations: own
                    .map(|(level, plan, on)| organizations_own(level, plan, on))
                    .into_iter()
                    .collect(),
                catalogue: catalogue.map(|(level, tier, on)| entry(level, tier, on)),
            };
            (asker, evidence)
        },
    )
}

proptest! {
    /// A level contains the lower ones (BR-ACL-007), and who may do a thing may do it in whichever organization is named:
    /// naming one says how it is had, not whether.
    #[test]
    fn br_acl_007_who_may_do_more_may_do_less_and_naming_an_organization_takes_nothing(
        (asker, evidence) in any_case(),
        named in prop::sample::select(vec![None, Some("org_a"), Some("org_b")]),
    ) {
        let may: Vec<bool> = AccessLevel::ALL.iter().map(|level| ask(&asker, &evidence, *level, named).is_granted).collect();
        prop_assert!(may.is_sorted_by(|less, more| less >= more), "{may:?}");
        for level in AccessLevel::ALL {
            let without = ask(&asker, &evidence, *level, None).is_granted;
            prop_assert_eq!(without, ask(&asker, &evidence, *level, named).is_granted);
        }
    }

    /// More evidence never takes anything, and what decides suffices and has not ended.
    #[test]
    fn giving_more_never_takes_anything((asker, evidence) in any_case(), more in any_permission(), level in any_level()) {
        let before = ask(&asker, &evidence, level, None);
        let mut evidence = evidence;
        evidence.permissions.push(more);
        let after = ask(&asker, &evidence, level, None);
        prop_assert!(!before.is_granted || after.is_granted);
        prop_assert!(!after.is_granted || after.level >= level);
        prop_assert!(after.expires_at.is_none_or(|end| end > now()));
    }
}
