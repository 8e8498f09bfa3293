// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that fail now and then, as they would for want of memory: the
 * distributions' kernels have no fault injection.
 *
 *	insmod tcpseal_fault.ko function=NAME[,NAME...] result=N[,N...] [caller=MODULE]
 *
 * While the parameter left is not zero, one of "every" calls of these functions
 * returns the result of that function instead of doing anything, and left counts
 * down, hits up. With caller only calls from that module count; the first "skip" of
 * them go through. The parameter calls counts them, and may be set; at says which
 * function called the one that failed last.
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

#define FUNCTIONS	32

static char *function[FUNCTIONS];
static unsigned int functions;
static long result[FUNCTIONS];
static unsigned int results;
static char *caller;
static unsigned int left;
static unsigned int every = 3;
static unsigned int skip;
static unsigned int calls;
static unsigned int hits;
static char at[KSYM_SYMBOL_LEN];
module_param_array(function, charp, &functions, 0444);
module_param_array(result, long, &results, 0444);
module_param(caller, charp, 0444);
module_param(left, uint, 0644);
module_param(every, uint, 0644);
module_param(skip, uint, 0644);
module_param(calls, uint, 0644);
module_param(hits, uint, 0644);
module_param_string(at, at, sizeof(at), 0444);

static struct fault {
	struct kprobe	probe;
	long		result;
	bool		there;
} faults[FUNCTIONS];

static char caller_tag[MODULE_NAME_LEN + 3];
static DEFINE_RAW_SPINLOCK(lock);

/* Where a call that fails goes on: back to its caller, with our result. */
static noinline void fault_return(void)
{
	asm volatile("");
}

/* Where a function of another module or of the kernel was called is none of ours. */
static bool is_called(struct pt_regs *regs, char *who)
{
	unsigned long from = *(unsigned long *)regs->sp;

	if (!caller)
		return true;
	if (from < MODULES_VADDR || from >= MODULES_END)
		return false;
	sprint_symbol_no_offset(who, from);
	return strstr(who, caller_tag);
}

/* Of two processors at once one fails. */
static bool is_hit(const char *who)
{
	bool hit = false;
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	calls++;
	if (left && every && calls > skip && !((calls - skip) % every)) {
		left--;
		hits++;
		strscpy(at, who, sizeof(at));
		hit = true;
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	return hit;
}

static int fault_hit(struct kprobe *probe, struct pt_regs *regs)
{
	struct fault *fault = container_of(probe, struct fault, probe);
	char who[KSYM_SYMBOL_LEN] = "";

	if (!READ_ONCE(left) || !is_called(regs, who) || !is_hit(who))
		return 0;
	regs_set_return_value(regs, fault->result);
	instruction_pointer_set(regs, (unsigned long)fault_return);
	return 1;
}

/* A probe that has one is not turned into a jump, which could not go elsewhere. */
static void fault_missed(struct kprobe *probe, struct pt_regs *regs,
			 unsigned long flags)
{
}

NOKPROBE_SYMBOL(is_called);
NOKPROBE_SYMBOL(is_hit);
NOKPROBE_SYMBOL(fault_hit);
NOKPROBE_SYMBOL(fault_missed);
NOKPROBE_SYMBOL(fault_return);

static void fault_exit(void)
{
	unsigned int i;

	for (i = 0; i < functions; i++)
		if (faults[i].there)
			unregister_kprobe(&faults[i].probe);
}

static int __init fault_init(void)
{
	unsigned int i;
	int err;

	if (!functions || results != functions)
		return -EINVAL;
	snprintf(caller_tag, sizeof(caller_tag), "[%s]", caller ?: "");
	for (i = 0; i < functions; i++) {
		faults[i].probe.symbol_name = function[i];
		faults[i].probe.pre_handler = fault_hit;
		faults[i].probe.post_handler = fault_missed;
		faults[i].result = result[i];
		err = register_kprobe(&faults[i].probe);
		if (err) {
			pr_err("tcpseal_fault: no function %s\n", function[i]);
			fault_exit();
			return err;
		}
		faults[i].there = true;
	}
	return 0;
}

module_init(fault_init);
module_exit(fault_exit);
MODULE_DESCRIPTION("Functions that fail, for the tests of tcpseal");
MODULE_LICENSE("GPL");
