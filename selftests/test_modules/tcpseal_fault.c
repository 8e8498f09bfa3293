// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function of tcpseal that fails now and then, as it would for want of
 * memory: the distributions' kernels have no fault injection.
 *
 *	insmod tcpseal_fault.ko function=NAME result=N
 *
 * While the parameter left is not zero, one of "every" calls of the function
 * returns result instead of doing anything, and left counts down, hits up.
 */
#include <linux/kprobes.h>
#include <linux/module.h>

static char *function;
static long result;
static unsigned int left;
static unsigned int every = 3;
static unsigned int hits;
module_param(function, charp, 0444);
module_param(result, long, 0444);
module_param(left, uint, 0644);
module_param(every, uint, 0644);
module_param(hits, uint, 0444);

static atomic_t calls;

/* Where a call that fails goes on: back to its caller, with our result. */
static noinline void fault_return(void)
{
	asm volatile("");
}

/* Of two processors at once one fails. */
static int fault_hit(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int one_of = READ_ONCE(every), now = READ_ONCE(left);

	if (!now || !one_of || atomic_inc_return(&calls) % one_of ||
	    cmpxchg(&left, now, now - 1) != now)
		return 0;
	WRITE_ONCE(hits, hits + 1);
	regs_set_return_value(regs, result);
	instruction_pointer_set(regs, (unsigned long)fault_return);
	return 1;
}

NOKPROBE_SYMBOL(fault_hit);
NOKPROBE_SYMBOL(fault_return);

static struct kprobe probe = {
	.pre_handler	= fault_hit,
};

static int __init fault_init(void)
{
	if (!function)
		return -EINVAL;
	probe.symbol_name = function;
	return register_kprobe(&probe);
}

static void __exit fault_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(fault_init);
module_exit(fault_exit);
MODULE_DESCRIPTION("Functions of tcpseal that fail, for its tests");
MODULE_LICENSE("GPL");
