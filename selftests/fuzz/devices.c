// SPDX-License-Identifier: GPL-2.0-only
/* Devices dev1 to dev99, whatever the machine has: a corpus is for all machines. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned int if_nametoindex(const char *name)
{
	if (!strncmp(name, "dev", 3) && name[3] >= '1' && name[3] <= '9' &&
	    (!name[4] || (name[4] >= '0' && name[4] <= '9' && !name[5])))
		return atoi(name + 3);
	errno = ENODEV;
	return 0;
}

char *if_indextoname(unsigned int index, char *name)
{
	if (!index || index > 99) {
		errno = ENXIO;
		return NULL;
	}
	snprintf(name, IF_NAMESIZE, "dev%u", index);
	return name;
}
