//! I10 and I15: two tenants in one database, and a database of which an old copy is put back.

use crmsync_core::{DeletePolicy, Side};

use crate::host::Order;
use crate::people::Avoid;
use crate::plan::Kind;
use crate::pulse::End;
use crate::scenarios::{kind, unless, world};

/// Two tenants whose flows, connections, records and keys have the same names and numbers.
pub(crate) fn apart() -> Vec<String> {
    world(Kind { records: 0, ..kind(DeletePolicy::Recycle) }, async |world| {
        let kind = Kind { records: 8, ..kind(DeletePolicy::Recycle) };
        let mut tenants = ["acme", "bolt"].map(|name| world.neighbour(kind.clone(), name));
        for tenant in &mut tenants {
            tenant.settle().await;
            tenant.people().may_delete = true;
        }
        for step in 0..40 {
            for (number, tenant) in tenants.iter_mut().enumerate() {
                tenant.tick(1_100);
                tenant.people().work((step + number) % 2, &Avoid::new());
                let end = if step % 3 == number { End::Killed(step * 5) } else { End::Whole };
                if step % 2 == 0 {
                    let order = Order { end, ..tenant.calm(0) };
                    tenant.run(order).await;
                }
            }
        }
        let mut wrong = Vec::new();
        for tenant in &mut tenants {
            tenant.settle().await;
            tenant.check_at_rest().await;
            wrong.append(&mut tenant.log.lock().violations);
        }
        let signs = tenants.each_ref().map(|tenant| format!("{}-", tenant.tenant));
        for (own, other) in [(0, 1), (1, 0)] {
            let rows = world.disk.rows_of(tenants[own].tenant);
            wrong.extend(unless(rows.iter().any(|(_, row)| row.contains(&signs[own])), "I10: a tenant has no rows"));
            let strange = rows.into_iter().filter(|(_, row)| row.contains(&signs[other]));
            wrong.extend(strange.map(|(table, row)| format!("I10: {table} of {} holds {row}", tenants[own].tenant)));
            let shown = tenants[own].crms.iter().flat_map(|crm| crm.live().into_values());
            let values = shown.flat_map(|fields| fields.into_values()).map(|value| value.display());
            let strange = values.filter(|value| value.contains(&signs[other]));
            wrong.extend(strange.map(|value| format!("I10: a CRM of {} shows {value}", tenants[own].tenant)));
        }
        wrong
    })
}

/// An old copy of the database is put back: nothing is doubled, as the key that our copies carry says whose copies they are, and nothing is
/// deleted for what the old database does not know.
pub(crate) fn old_copy() -> Vec<String> {
    world(kind(DeletePolicy::Recycle), async |world| {
        world.settle().await;
        let copy = world.folder.join("copy.db");
        world.disk.copy_to(&copy);
        world.add(Side::Left, &[("Code", "x1"), ("Name", "x"), ("Mail", "x1")]);
        world.add(Side::Right, &[("Code", "x2"), ("Name", "x"), ("Mail", "x2")]);
        for _ in 0..30 {
            world.tick(1_100);
            let crm = world.people().rng.below(2);
            world.people().work(crm, &Avoid::new());
            world.tick(5_000);
            world.calm_run(0).await;
        }
        world.settle().await;
        let before = world.crms[0].live().len() + world.crms[1].live().len();
        world.disk.put_back(&copy);
        world.settle().await;
        world.check_always();
        let after = world.crms[0].live().len() + world.crms[1].live().len();
        unless(after >= before, format!("I6: of {before} records {after} are left"))
    })
}
